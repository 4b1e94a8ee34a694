//! The private server: ready when it says so, and gone afterwards however its process ends.

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use robson_testkit::{PrivateServer, wait_until};

type TestResult = Result<(), Box<dyn Error>>;

fn accepts(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[test]
fn two_servers_run_side_by_side_and_leave_nothing() -> TestResult {
    let (first, second) = (PrivateServer::start()?, PrivateServer::start()?);
    assert_ne!(first.port(), second.port());
    assert_ne!(first.url("postgres"), second.url("postgres"));
    for server in [first, second] {
        let (port, folder) = (server.port(), server.folder().to_owned());
        assert!(accepts(port));
        drop(server);
        assert!(!accepts(port));
        assert!(!folder.exists());
    }
    Ok(())
}

#[test]
fn a_stopped_server_comes_back_on_its_port() -> TestResult {
    let mut server = PrivateServer::start()?;
    let before = server.process_id();
    server.stop_immediately();
    assert_eq!(server.process_id(), None);
    assert!(!accepts(server.port()));
    server.restart()?;
    assert!(accepts(server.port()));
    assert_ne!(server.process_id(), before);
    Ok(())
}

/// Set for the copy of this test program that is to be killed.
const VICTIM: &str = "ROBSON_TEST_VICTIM";

#[test]
fn a_killed_process_leaves_no_server_and_no_folder() -> TestResult {
    if std::env::var_os(VICTIM).is_some() {
        let server = PrivateServer::start()?;
        println!("\nserver {} {}", server.port(), server.folder().display());
        // Lives until it is killed.
        loop {
            std::thread::park();
        }
    }
    let mut victim = Command::new(std::env::current_exe()?)
        .args(["--exact", "a_killed_process_leaves_no_server_and_no_folder", "--nocapture"])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .spawn()?;
    let output = BufReader::new(victim.stdout.take().ok_or("no pipe")?);
    let line = output.lines().map_while(Result::ok).find(|line| line.starts_with("server "));
    let line = line.ok_or("the victim started no server")?;
    let [_, port, folder] = line.split(' ').collect::<Vec<_>>()[..] else { return Err(line.into()) };
    let port = port.parse()?;
    assert!(accepts(port));

    victim.kill()?;
    victim.wait()?;

    assert!(wait_until(30, || !accepts(port)), "the server lives on");
    assert!(wait_until(30, || !Path::new(folder).exists()), "the folder is still there");
    Ok(())
}
