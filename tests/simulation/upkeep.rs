//! What processes do to a queue as a whole: look, wait, purge, move, change, repair; and what is done at the end, when
//! everything is taken out.

use std::io::Read as _;
use std::time::Duration;

use mq::domain::{MessageId, Policy, UnixMillis, Visibility};
use mq::store::spool::Spool;
use mq::store::spool::fsck::{Finding, FindingKind, Summary};
use mq::store::{ClaimRequest, Error, Failure, Filter, Store as _, Which};

use super::expect::check_policy;
use super::operations::{Actor, OTHER, QUEUE, ROOT, queue};
use super::simfs::SimClock;

impl Actor {
    pub fn look(&self) -> Result<(), Error> {
        let spool = self.spool()?;
        let mut seen = Vec::new();
        spool.peek(&queue(QUEUE), Which::Next(3), &mut |peeked| {
            seen.push(peeked.listed.message.id);
            std::ops::ControlFlow::Continue(())
        })?;
        spool.list(&queue(QUEUE), &Filter::default(), &mut |_| std::ops::ControlFlow::Continue(()))?;
        spool.stat(&queue(QUEUE)).map(|_| ())
    }

    pub fn wait(&self) -> Result<(), Error> {
        let spool = self.spool()?;
        let mut watch = spool.watch(&queue(QUEUE))?;
        watch.wait(Duration::from_secs(3))
    }

    pub fn purge(&self) {
        self.with(|world| world.ledger.may_all_go(QUEUE));
        let result = self.by_receipt(|spool| spool.purge(&queue(QUEUE)));
        // What was begun before it ended may have been taken as well.
        self.with(|world| {
            world.ledger.may_all_go(QUEUE);
            if result.is_ok() && world.was_alone(self.pid) {
                world.purged();
            }
        });
        self.say(result, "purge");
    }

    pub fn move_all(&self, back: bool) {
        let (from, to) = if back { (OTHER, QUEUE) } else { (QUEUE, OTHER) };
        self.with(|world| {
            world.ledger.counts_restart = true;
            world.ledger.moves += 1;
            world.ledger.entries.iter_mut().for_each(|entry| entry.was_moved = true);
        });
        let result = self.by_receipt(|spool| spool.move_all(&queue(from), &queue(to)));
        self.with(|world| world.ledger.entries.iter_mut().for_each(|entry| entry.was_moved = true));
        self.say(result, "move");
    }

    /// The id of one of the messages that were put, and its number; the last one first.
    fn pick_put(&self, which: usize) -> Option<(usize, Filter)> {
        self.with(|world| {
            let put = world.ledger.entries.iter().enumerate().rev().filter(|(_, entry)| entry.acknowledged.is_some());
            let (number, entry) = put.clone().nth(which).or_else(|| put.clone().next())?;
            Some((number, Filter { ids: vec![entry.id?], ..Filter::default() }))
        })
    }

    pub fn purge_one(&self, which: usize) {
        let Some((number, filter)) = self.pick_put(which) else { return };
        let is_there = self.with(|world| {
            let is_there = world.is_surely_there(number);
            world.ledger.may_go(number);
            is_there
        });
        let go_on = &mut || std::ops::ControlFlow::Continue(());
        let result = self.by_receipt(|spool| spool.purge_some(&queue(QUEUE), &filter, go_on));
        if let Ok(count) = result
            && self.lives_to_say()
        {
            self.hold_to(|world| {
                world.tell(Some(self.pid), || format!("message {number} is purged: {count}"));
                let was_alone = world.was_alone(self.pid);
                world.ledger.may_go(number);
                match count {
                    0 if is_there && was_alone => Err(format!("I1: message {number} is there, and was not found")),
                    0 => Ok(()),
                    1 => {
                        world.ledger.is_gone(number);
                        Ok(())
                    }
                    // Without a sync a power cut may leave two of it.
                    _ if !world.ledger.entries[number].is_durable && world.counts.cuts > 0 => Ok(()),
                    _ => Err(format!("{count} messages were purged where one was meant")),
                }
            });
        }
        self.say(result, "purge");
    }

    pub fn move_one(&self, which: usize) {
        let Some((number, filter)) = self.pick_put(which) else { return };
        self.with(|world| {
            world.ledger.counts_restart = true;
            // Then what was moved has no order any more.
            world.ledger.moves += 2;
            world.ledger.entries[number].was_moved = true;
        });
        let go_on = &mut || std::ops::ControlFlow::Continue(());
        let result = self.by_receipt(|spool| spool.move_some(&queue(QUEUE), &queue(OTHER), &filter, go_on));
        self.say(result, "move");
    }

    pub fn create(&self) -> Result<(), Error> {
        self.spool()?.create_queue(&queue(OTHER), &Policy::default(), None)
    }

    pub fn drop_other(&self) -> Result<(), Error> {
        self.with(|world| world.ledger.other_may_be_away = true);
        self.spool()?.drop_queue(&queue(OTHER), false).map(|_| ())
    }

    pub fn set_policy(&self) -> Result<(), Error> {
        let spool = self.spool()?;
        let before = spool.policy(&queue(QUEUE))?;
        spool.change_policy(&queue(QUEUE), &mut |policy| {
            policy.visibility += Duration::from_secs(1);
            Ok(())
        })?;
        let after = spool.policy(&queue(QUEUE))?;
        // (Who drops the queue meanwhile takes its policy along.)
        self.hold_to(|world| if world.was_alone(self.pid) { check_policy(&before, &after) } else { Ok(()) });
        Ok(())
    }

    pub fn note_failure(&self, which: usize) {
        let Some((number, at, receipt)) = self.pick(which) else { return };
        let was_live = self.with(|world| world.is_surely_live(number, at));
        let failure = Failure { at: UnixMillis(1), delivery: 1, reason: "exit status 1".to_owned() };
        let result = self.by_receipt(|spool| spool.note_failure(&receipt, &failure));
        self.refuse_nothing_live(&result, was_live, number);
        if result.is_ok() && was_live && self.with(|world| world.was_alone(self.pid)) {
            let mut noted = 0;
            let looked = self.by_receipt(|spool| {
                spool.peek(&receipt.queue, Which::Id(receipt.name.id), &mut |peeked| {
                    noted = peeked.listed.failures.len();
                    std::ops::ControlFlow::Continue(())
                })
            });
            self.hold_to(|world| match looked {
                Ok(()) if noted == 0 && world.was_alone(self.pid) => {
                    Err("a failure was noted, and is not there".to_owned())
                }
                _ => Ok(()),
            });
        }
        self.say(result, "note failure");
    }

    pub fn set_limit(&self, limit: Option<u32>) {
        self.with(|world| {
            let ledger = &mut world.ledger;
            ledger.limit = None;
            ledger.has_dead_letters |= limit.is_some();
            ledger.lowest_limit = ledger.lowest_limit.into_iter().chain(limit).min();
        });
        let result = self.change_policy(|policy| policy.max_deliveries = limit);
        self.with(|world| {
            // Who was at it meanwhile may have seen the old one.
            world.ledger.limit = limit.filter(|_| result.is_ok() && world.was_alone(self.pid));
        });
        self.say(result, "set");
    }

    /// Holds receivers off, or lets them go on.
    pub fn pause(&self, is_paused: bool) {
        self.with(|world| {
            world.ledger.is_paused |= is_paused;
            world.ledger.is_surely_paused = false;
        });
        let result = self.change_policy(|policy| policy.paused = is_paused);
        self.with(|world| {
            if result.is_ok() && world.is_alive(self.pid) && world.was_alone(self.pid) {
                world.ledger.is_paused = is_paused;
                world.ledger.is_surely_paused = is_paused;
            } else {
                // Somebody else may have paused it last.
                world.ledger.is_surely_paused = false;
            }
        });
        self.say(result, "pause");
    }

    /// Peace: receivers are let go on, whoever held them off.
    pub fn resume_for_good(&self) {
        if !self.with(|world| world.ledger.is_paused) {
            return;
        }
        match self.change_policy(|policy| policy.paused = false) {
            Ok(()) | Err(Error::NoSuchQueue { .. }) => {}
            Err(error) => self.with(|world| world.violate(format!("I9: the queue stays paused: {error}"))),
        }
        self.with(|world| (world.ledger.is_paused, world.ledger.is_surely_paused) = (false, false));
    }

    fn change_policy(&self, change: impl Fn(&mut Policy)) -> Result<(), Error> {
        let changed = self.spool()?.change_policy(&queue(QUEUE), &mut |policy| {
            change(policy);
            Ok(())
        });
        changed.map(|_| ())
    }

    /// All that is in the queue goes with it, and does not come back.
    pub fn drop_force(&self) {
        self.with(|world| {
            world.ledger.may_be_away = true;
            world.ledger.may_all_go(QUEUE);
        });
        let result = self.by_receipt(|spool| spool.drop_queue(&queue(QUEUE), true));
        self.with(|world| {
            // As with a purge: what was begun before it ended may have been taken as well.
            world.ledger.may_all_go(QUEUE);
            if result.is_ok() && world.is_alive(self.pid) && world.was_alone(self.pid) {
                world.purged();
            }
        });
        self.say(result, "drop");
    }

    /// Waits for a message as `get --wait` does: a look, a sleep, a look. Each look is held to what a claim has to
    /// find, so a message whose ring was lost is there after the next sleep.
    pub fn claim_waiting(&self) {
        let request = ClaimRequest { visibility: Visibility::Timed(Some(Duration::from_secs(30))), most: 1 };
        let spool = match self.spool() {
            Ok(spool) => spool,
            Err(error) => return self.say::<()>(Err(error), "wait"),
        };
        let mut watch = match spool.watch(&queue(QUEUE)) {
            Ok(watch) => watch,
            Err(error) => return self.say::<()>(Err(error), "wait"),
        };
        for _ in 0..4 {
            let Some((claims, _)) = self.claim(request) else { return };
            if !claims.deliveries.is_empty() {
                return;
            }
            if let Err(error) = watch.wait(Duration::from_secs(5)) {
                return self.say::<()>(Err(error), "wait");
            }
        }
    }

    pub fn fsck_findings(&self, repair: bool) -> (Vec<Finding>, Result<Summary, Error>) {
        let spool = Spool::unchecked(ROOT, self.fs(), SimClock(self.world.clone()));
        let mut findings = Vec::new();
        let result = spool.fsck(&[], repair, &mut |finding| findings.push(finding));
        (findings, result)
    }

    /// Looks for what is wrong. Where nothing has gone wrong, nothing is.
    pub fn fsck(&self, repair: bool) {
        let (findings, result) = self.fsck_findings(repair);
        self.with(|world| {
            for finding in &findings {
                world.tell(Some(self.pid), || format!("fsck: {} {}", finding.path.display(), finding.what));
            }
            let nothing_befell = world.counts.errors + world.counts.kills + world.counts.cuts == 0;
            // (A writer that sleeps for long before it has locked its temporary looks dead, and so does who deletes a
            // message and not yet its key; neither loses anything by it.)
            let is_wrong =
                |finding: &&Finding| !matches!(finding.kind, FindingKind::OrphanTemporary | FindingKind::KeyLeft);
            if let Some(finding) = findings.iter().find(is_wrong)
                && nothing_befell
            {
                world.violate(format!("fsck: {} {}", finding.path.display(), finding.what));
            }
        });
        self.say(result.map(|_| ()), "fsck");
    }

    /// Takes everything out of a queue, and books it.
    pub fn drain(&self, name: &str) {
        let request = ClaimRequest { visibility: Visibility::Held, most: 3 };
        for _ in 0..500 {
            let claims = match self.by_receipt(|spool| spool.claim(&queue(name), &request)) {
                Ok(claims) => claims,
                Err(Error::NoSuchQueue { .. }) => return,
                Err(error) => return self.say::<()>(Err(error), "drain"),
            };
            self.check_notices(&claims.notices);
            if claims.deliveries.is_empty() {
                return;
            }
            let mut receipts = Vec::new();
            for mut delivery in claims.deliveries {
                let mut body = Vec::new();
                let _ = delivery.body.read_to_end(&mut body);
                self.with(|world| {
                    let id: MessageId = delivery.message.id;
                    world.tell(Some(self.pid), || format!("{id} is drained from {name}"));
                    let now_ms = world.disk.now_ms;
                    let drained = world.ledger.drain(&body, id, name, now_ms).and_then(|number| {
                        world.ledger.entries[number].id.get_or_insert(id);
                        world.check_facts(number, &delivery)?;
                        // This claim is one more.
                        world.check_limit(name, number, delivery.deliveries)
                    });
                    if let Err(why) = drained {
                        world.violate(why);
                    }
                });
                receipts.push(delivery.receipt);
            }
            for result in self.by_receipt(|spool| Ok(spool.delete(&receipts))).into_iter().flatten() {
                if let Err(error) = &result {
                    self.with(|world| world.violate(format!("I5: a message that is held cannot be deleted: {error}")));
                }
                self.say(result, "drain");
            }
        }
        self.with(|world| world.violate("the queue is never empty"));
    }
}
