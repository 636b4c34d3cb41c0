//! Garbage in a spool: no panic, no hang, nothing outside is touched, nothing damaged is delivered, and the messages
//! that were let alone still are.
//!
//! The first byte chooses the order and what a receipt of garbage looks like, the rest is a script of garbage.

#![no_main]

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use mq::domain::lifecycle::State;
use mq::domain::{
    ClaimPlace, ManualClock, MessageId, MessageName, NewMessage, Policy, Priority, QueueName, Receipt, Seq, UnixMillis,
    UnixSeconds, Visibility,
};
use mq::store::spool::{Order, Spool};
use mq::store::{ClaimRequest, Claims, Failure, Filter, Store as _, Which};

use fenced::{BEGINNING, Fenced};
use garbage::Vandal;

#[path = "../spool/fenced.rs"]
mod fenced;
#[path = "../spool/garbage.rs"]
mod garbage;

/// A message that was put before the garbage came.
pub struct Put {
    /// Where it lies.
    pub path: PathBuf,
    /// Under which name.
    pub name: MessageName,
    body: Vec<u8>,
    file: Vec<u8>,
}

/// All that is known of a directory and what is in it, links not followed.
type Snapshot = BTreeMap<PathBuf, (u32, Option<Vec<u8>>)>;

fn snapshot(dir: &Path) -> Snapshot {
    let mut found = Snapshot::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            let bytes = metadata.is_file().then(|| fs::read(entry.path()).unwrap_or_default());
            found.insert(entry.path(), (metadata.mode(), bytes));
            if metadata.is_dir() {
                dirs.push(entry.path());
            }
        }
    }
    found
}

struct World {
    dir: tempfile::TempDir,
    clock: ManualClock,
    order: Order,
    queue: QueueName,
    /// See [`Fenced`].
    asked: Rc<Cell<u64>>,
}

impl World {
    fn new(order: Order) -> Self {
        let memory = Path::new("/dev/shm");
        let builder = || tempfile::Builder::new().prefix("mq-fuzz-").to_owned();
        let dir = builder().tempdir_in(memory).or_else(|_| builder().tempdir()).expect("a temporary directory");
        let clock = ManualClock::at(BEGINNING);
        let world = Self { dir, clock, order, queue: "jobs".parse().expect("it is a name"), asked: Rc::default() };
        // The directory that the spool is made in is not the spool's, but it would be synced.
        fs::create_dir(world.root()).expect("a directory");
        fs::create_dir(world.outside()).expect("a directory");
        fs::create_dir(world.outside().join("dir")).expect("a directory");
        world
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("spool")
    }

    fn queue_dir(&self) -> PathBuf {
        self.root().join(self.queue.as_str())
    }

    fn outside(&self) -> PathBuf {
        self.dir.path().join("outside")
    }

    fn open(&self) -> mq::store::Result<Spool<Fenced, &ManualClock>> {
        let fenced = Fenced::new(self.root(), Rc::clone(&self.asked));
        Spool::open_with(self.root(), fenced, &self.clock).map(|spool| spool.with_order(self.order))
    }

    /// Messages in every state: two that are ready, one of the highest priority, one delayed, one in a timed claim,
    /// one in a held claim whose holder is gone.
    fn fill(&self) -> Vec<Put> {
        let store = self.open().expect("an empty spool");
        store.create_queue(&self.queue, &Policy::default(), None).expect("a queue");
        store.create_queue(&"other".parse().expect("it is a name"), &Policy::default(), None).expect("a queue");
        let mut bodies = BTreeMap::new();
        let mut put = |level: u8, delay_s: u64| {
            let body = format!("body {}", bodies.len()).into_bytes();
            let delay = (delay_s > 0).then(|| Duration::from_secs(delay_s));
            let new =
                NewMessage { priority: Priority::new(level).expect("it is in range"), delay, ..NewMessage::default() };
            let id = store.put(&self.queue, &new, &mut body.as_slice()).expect("a put");
            bodies.insert(id, body);
            id
        };
        let claimed = put(5, 0);
        let held = put(5, 0);
        let claim = |visibility| store.claim(&self.queue, &ClaimRequest { visibility, most: 1 }).expect("a claim");
        let ids = [
            (3, put(5, 20)),
            (4, claimed),
            (5, held),
            {
                let timed = claim(Visibility::Timed(Some(Duration::from_secs(20))));
                let failure = Failure { at: UnixMillis(0), delivery: 1, reason: "exit status: 3".to_owned() };
                store.note_failure(&timed.deliveries[0].receipt, &failure).expect("a note");
                drop(claim(Visibility::Held));
                (0, put(5, 0))
            },
            (1, put(5, 0)),
            (2, put(9, 0)),
        ];
        let mut messages: Vec<(i32, Put)> = Vec::new();
        for (path, (_, bytes)) in snapshot(&self.queue_dir()) {
            let Some(name) = path.file_name().and_then(mq::fuzzing::parse_name) else { continue };
            let place = ids.iter().find(|(_, id)| *id == name.id).expect("it was put").0;
            let file = bytes.expect("a message is a file");
            messages.push((place, Put { path, name, body: bodies[&name.id].clone(), file }));
        }
        messages.sort_by_key(|(place, _)| *place);
        assert_eq!(messages.len(), ids.len());
        messages.into_iter().map(|(_, message)| message).collect()
    }

    /// Whether the garbage left what every receiver needs: then it has to deliver what was let alone.
    ///
    /// Whatever stands in the place of the counter, the bell, the marker of the sweep, the policy's lock or any of the
    /// other directories keeps nobody from receiving.
    fn still_works(&self) -> bool {
        let metadata = |path: PathBuf| path.symlink_metadata().ok();
        // The lock of the moves has to be one: whoever cannot take it says so. (A FIFO can be locked as well as a file;
        // a message has a lock of its own.)
        let is_lock =
            |lock: fs::Metadata| !lock.is_dir() && !lock.is_symlink() && (lock.nlink() == 1 || lock.len() == 0);
        let can_move = self.order == Order::RollForward || metadata(self.root().join("lock")).is_none_or(is_lock);
        // Without a policy a queue has the default one, which loses nothing.
        metadata(self.queue_dir().join("policy.json")).is_none()
            && can_move
            && self.open().is_ok()
            && ["ready", "claimed"]
                .iter()
                .all(|dir| metadata(self.queue_dir().join(dir)).is_some_and(|dir| dir.is_dir()))
    }
}

/// Whether nothing stands where a message comes back to, and no level on the way there is anything but a directory: then
/// nothing keeps it from being delivered.
fn can_come_back(queue_dir: &Path, put: &Put) -> bool {
    let way_back = mq::fuzzing::path_of(queue_dir, State::Ready, &put.name);
    let mut levels = way_back.ancestors().skip(1).take(3);
    let can_be_reached = levels.all(|dir| dir.symlink_metadata().map_or(true, |metadata| metadata.is_dir()));
    can_be_reached && (way_back == put.path || way_back.symlink_metadata().is_err())
}

/// What came out, by id; nothing damaged may.
struct Seen<'a> {
    messages: &'a [Put],
    ids: Vec<MessageId>,
}

impl Seen<'_> {
    fn body(&mut self, id: MessageId, body: &mut impl std::io::Read) {
        let mut bytes = Vec::new();
        body.read_to_end(&mut bytes).expect("a body that was checked can be read");
        let put = self.messages.iter().find(|put| put.name.id == id).expect("a message that nobody has put");
        assert_eq!(bytes, put.body, "another body than was put");
        self.ids.push(id);
    }

    fn claims(&mut self, claims: Claims) -> Vec<Receipt> {
        let mut receipts = Vec::new();
        for mut delivery in claims.deliveries {
            self.body(delivery.message.id, &mut delivery.body);
            receipts.push(delivery.receipt);
        }
        receipts
    }
}

/// Receipts of claims that nobody has made.
fn receipts_of_nothing(world: &World, messages: &[Put]) -> [Receipt; 4] {
    let nothing = "ffffffffffffffff.5.0192a4b0-0000-7000-8000-000000000000.4294967295".parse().expect("it is a name");
    let receipt = |place, name| Receipt { queue: world.queue.clone(), place, name };
    let until = ClaimPlace::Until(UnixSeconds(2_000_000_020));
    let missing = MessageName { seq: Seq(u64::MAX), ..messages[0].name };
    [
        receipt(until, messages[4].name.with_deliveries(77)),
        receipt(ClaimPlace::Held, messages[5].name.with_deliveries(77)),
        receipt(until, nothing),
        Receipt { queue: "missing".parse().expect("it is a name"), ..receipt(ClaimPlace::Held, missing) },
    ]
}

/// Everything that can be asked of a store, but for what takes messages away for good. Failing is no fault.
fn look_and_claim(store: &Spool<Fenced, &ManualClock>, world: &World, seen: &mut Seen<'_>) {
    let queue = &world.queue;
    let _ = (store.policy(queue), store.queues(), store.stat(queue), store.order());
    let mut sizes = 0;
    let _ = store.list(queue, &Filter::default(), &mut |listed| {
        sizes += listed.message.len_bytes;
        ControlFlow::Continue(())
    });
    let messages = seen.messages;
    for which in [Which::Id(messages[0].name.id), Which::Id(messages[5].name.id), Which::Next(100)] {
        let mut others = Seen { messages, ids: Vec::new() };
        let _ = store.peek(queue, which, &mut |mut peeked| {
            others.body(peeked.listed.message.id, &mut peeked.body);
            ControlFlow::Continue(())
        });
    }
    for visibility in [Visibility::Timed(Some(Duration::from_secs(5))), Visibility::Held, Visibility::Timed(None)] {
        for most in [1, 100] {
            let Ok(claims) = store.claim(queue, &ClaimRequest { visibility, most }) else { continue };
            let receipts = seen.claims(claims);
            if let [first, ..] = receipts.as_slice() {
                let failure = Failure { at: UnixMillis(0), delivery: 1, reason: "exit status: 3".to_owned() };
                let _ = (store.note_failure(first, &failure), store.is_held(first));
                let _ = store.extend(&receipts[..1], Duration::from_secs(9));
                let _ = store.release(&receipts[..1], None);
            }
        }
    }
    if let Ok(mut watch) = store.watch(queue) {
        let _ = watch.wait(Duration::ZERO);
    }
}

/// Takes away, moves, and puts: whatever happens, it ends.
fn shuffle(store: &Spool<Fenced, &ManualClock>, world: &World) {
    let (queue, other): (_, QueueName) = (&world.queue, "other".parse().expect("it is a name"));
    let new = NewMessage { ttl: Some(Duration::from_secs(100)), ..NewMessage::default() };
    if let Ok(id) = store.put(queue, &new, &mut &b"late"[..]) {
        let _ = store.edit(queue, id, &mut |_| Some(Box::new(&b"another"[..])));
    }
    let _ = store.put(queue, &NewMessage { delay: Some(Duration::from_secs(1)), ..new.clone() }, &mut &b"later"[..]);
    let batch = [(new.clone(), b"one".to_vec()), (new.clone(), b"two".to_vec()), (new, Vec::new())];
    let _ = store.put_batch(queue, &batch);
    let _ = store.move_all(queue, &other);
    let _ = store.move_all(&other, queue);
    if let Ok(claims) = store.claim(queue, &ClaimRequest { visibility: Visibility::Timed(None), most: 3 }) {
        let receipts: Vec<Receipt> = claims.deliveries.into_iter().map(|delivery| delivery.receipt).collect();
        let _ = store.delete(&receipts);
    }
    let _ = store.change_policy(queue, &mut |policy| policy.apply("max-deliveries=1"));
    world.clock.advance(Duration::from_secs(100));
    let _ = store.claim(queue, &ClaimRequest { visibility: Visibility::Timed(None), most: 3 });
    let _ = store.purge(queue);
    let _ = store.create_queue(&"third".parse().expect("it is a name"), &Policy::default(), None);
    let _ = store.drop_queue(&other, false);
    let _ = store.drop_queue(queue, true);
}

fuzz_target!(|data: &[u8]| {
    let [choice, script @ ..] = data else { return };
    let world = World::new(if choice & 1 == 0 { Order::RollForward } else { Order::Classical });
    let messages = world.fill();
    // What a link could lead to: a file, and a directory that holds one of the name that is looked for.
    let (file, dir) = (world.outside().join("file"), world.outside().join("dir"));
    fs::write(&file, &messages[0].file).expect("a file");
    fs::write(dir.join(messages[4].name.to_string()), &messages[4].file).expect("a file");
    let (root, queue_dir) = (world.root(), world.queue_dir());
    Vandal { spool: &root, queue: &queue_dir, outside: (&file, &dir), messages: &messages }.obey(script);

    let outside_before = snapshot(&world.outside());
    let there = snapshot(&queue_dir);
    let was_let_alone = |put: &&Put| there.get(&put.path).is_some_and(|(_, bytes)| bytes.as_ref() == Some(&put.file));
    let works = world.still_works();
    let let_alone = messages.iter().filter(was_let_alone);
    let must_come: Vec<&Put> = let_alone.filter(|put| works && can_come_back(&queue_dir, put)).collect();
    let mut seen = Seen { messages: &messages, ids: Vec::new() };
    if let Ok(store) = world.open() {
        let nothing = receipts_of_nothing(&world, &messages);
        for _ in 0..3 {
            look_and_claim(&store, &world, &mut seen);
            let _ = store.extend(&nothing, Duration::from_secs(5));
            let _ = store.release(&nothing, Some(Duration::from_secs(u64::from(choice >> 4))));
            for (result, receipt) in store.delete(&nothing).into_iter().zip(&nothing) {
                // Only what the garbage itself made can be there.
                assert!(result.is_err() || receipt.name.seq == Seq(u64::MAX), "deleted without a claim: {receipt:?}");
            }
            world.clock.advance(Duration::from_secs(70));
        }
        for put in must_come {
            assert!(seen.ids.contains(&put.name.id), "{} was let alone and did not come", put.path.display());
        }
        shuffle(&store, &world);
    }
    assert_eq!(snapshot(&world.outside()), outside_before, "something outside has changed");
    let beside: Vec<_> = fs::read_dir(world.dir.path()).into_iter().flatten().flatten().collect();
    assert_eq!(beside.len(), 2, "something was made beside the spool");
});
