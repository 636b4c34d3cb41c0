//! `mq completions`: the scripts, and what they ask `mq`.

use crate::support::{Ran, Spool, run};

/// Asks as the script of bash does: the words of the line, and which of them is being typed.
fn candidates(spool: &Spool, words: &[&str]) -> Vec<String> {
    let mut command = spool.mq_command(&["--"]);
    command.args(words).env("MQ_COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", (words.len() - 1).to_string());
    command.env("_CLAP_IFS", "\n").env("_CLAP_COMPLETE_COMP_TYPE", "9").env("_CLAP_COMPLETE_SPACE", "true");
    let ran: Ran = run(command, b"").ok().quiet();
    ran.lines().iter().map(|line| line.trim_end().to_owned()).collect()
}

fn spool_with_queues() -> Spool {
    let spool = Spool::new();
    for queue in ["jobs", "jobs.dead", "mail"] {
        spool.mq(&["create", queue]).ok();
    }
    spool
}

#[test]
fn each_shell_has_a_script_that_it_can_read() {
    let spool = Spool::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = spool.mq(&["completions", shell]).ok().quiet();
        assert!(script.text().contains("MQ_COMPLETE"), "{script}");
        let path = spool.file("script", script.out());
        let mut check = spool.command(shell);
        check.arg("-n").arg(path);
        if check.output().is_err() {
            println!("skipped: needs {shell}");
            continue;
        }
        run(check, b"").ok().quiet();
    }
    spool.mq(&["completions", "tcsh"]).status(2).silent().says("bash, zsh, fish");
    spool.mq(&["completions"]).status(2).silent().says("SHELL");
}

#[test]
fn names_of_queues_are_completed_where_a_queue_is_meant() {
    let spool = spool_with_queues();
    assert_eq!(candidates(&spool, &["mq", "get", "j"]), ["jobs", "jobs.dead"]);
    assert_eq!(candidates(&spool, &["mq", "get", "mail"]), ["mail"]);
    assert_eq!(candidates(&spool, &["mq", "move", "jobs", "m"]), ["mail"]);
    assert_eq!(candidates(&spool, &["mq", "put", "x", "--reply-to", "ma"]), ["mail"]);
    for verb in ["put", "peek", "list", "stat", "set", "drop", "pause", "resume", "purge", "move"] {
        assert!(candidates(&spool, &["mq", verb, "mai"]).contains(&"mail".to_owned()), "{verb}");
    }
}

#[test]
fn verbs_options_and_settings_are_completed() {
    let spool = spool_with_queues();
    let verbs = candidates(&spool, &["mq", "p"]);
    for verb in ["put", "peek", "pause", "purge"] {
        assert!(verbs.contains(&verb.to_owned()), "{verbs:?}");
    }
    assert!(candidates(&spool, &["mq", "put", "jobs", "--li"]).contains(&"--lines".to_owned()));
    assert_eq!(candidates(&spool, &["mq", "set", "jobs", "vis"]), ["visibility="]);
}

#[test]
fn without_a_spool_there_are_no_names_and_no_errors() {
    let spool = Spool::new();
    assert!(candidates(&spool, &["mq", "get", "j"]).is_empty());
    std::fs::create_dir(spool.root()).unwrap();
    std::fs::write(spool.root().join("notes"), "x").unwrap();
    assert!(candidates(&spool, &["mq", "get", "j"]).is_empty());
    assert_eq!(std::fs::read_dir(spool.root()).unwrap().count(), 1);
}

#[test]
fn bash_completes_a_queue_by_the_script() {
    let spool = spool_with_queues();
    let script = "source <(mq completions bash) || exit 1; COMP_WORDS=(mq get ma); COMP_CWORD=2; COMP_TYPE=9; \
                  f=$(complete -p mq | sed 's/.*-F \\([^ ]*\\).*/\\1/'); $f mq ma get; echo \"${COMPREPLY[@]}\"";
    let mut command = spool.command("bash");
    command.args(["-c", script]);
    if spool.command("bash").arg("--version").output().is_err() {
        println!("skipped: needs bash");
        return;
    }
    assert_eq!(run(command, b"").ok().text().trim(), "mail");
}

#[test]
fn a_spool_that_is_named_on_the_line_is_the_one_that_is_asked() {
    let spool = Spool::new();
    spool.mq(&["--spool", "other", "create", "elsewhere"]).ok();
    assert_eq!(candidates(&spool, &["mq", "--spool", "other", "get", "else"]), ["elsewhere"]);
    assert_eq!(candidates(&spool, &["mq", "--spool=other", "get", "else"]), ["elsewhere"]);
    assert_eq!(candidates(&spool, &["mq", "get", "--spool", "other", "else"]), ["elsewhere"]);
}
