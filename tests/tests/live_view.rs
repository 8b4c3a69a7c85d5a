//! The live view on a terminal: what it draws, and that it leaves the terminal as it found it.

use std::{fs::File, io::Read, os::fd::OwnedFd, thread, time::Duration};

use expiry_tests::world::World;
use rustix::{
    fs::{Mode, OFlags, open},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize},
};
use tokio::{process::Command, sync::watch, time::timeout};

const PATIENCE: Duration = Duration::from_secs(30);
const ENTER: &str = "\x1b[?1049h";
const LEAVE: &str = "\x1b[?1049l";

/// A terminal, and what was written to it so far.
struct Screen {
    ours: OwnedFd,
    theirs: OwnedFd,
    written: watch::Receiver<String>,
}

impl Screen {
    fn new(columns: u16, rows: u16) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&ours).expect("granted");
        unlockpt(&ours).expect("unlocked");
        let name = ptsname(&ours, Vec::new()).expect("a name");
        let flags = OFlags::RDWR | OFlags::NOCTTY;
        let theirs = open(name.as_c_str(), flags, Mode::empty()).expect("opened");
        let (sender, written) = watch::channel(String::new());
        let mut reader = File::from(ours.try_clone().expect("one more handle"));
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = reader.read(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..read]).into_owned();
                sender.send_modify(|written| written.push_str(&text));
            }
        });
        let screen = Self {
            ours,
            theirs,
            written,
        };
        screen.resize(columns, rows);
        screen
    }

    fn resize(&self, columns: u16, rows: u16) {
        let size = Winsize {
            ws_col: columns,
            ws_row: rows,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&self.ours, size).expect("resized");
    }

    async fn shows(&mut self, text: &str) {
        let shown = self.written.wait_for(|written| written.contains(text));
        let shown = timeout(PATIENCE, shown).await.map(drop);
        assert!(shown.is_ok(), "{text:?} in {:?}", self.written.borrow());
    }

    /// Tells whether typed keys show and come line by line.
    fn is_as_usual(&self) -> bool {
        let modes = tcgetattr(&self.theirs).expect("asked").local_modes;
        modes.contains(LocalModes::ECHO | LocalModes::ICANON)
    }
}

async fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args([name, &pid.to_string()]).status();
    assert!(sent.await.expect("kill runs").success());
}

#[tokio::test]
async fn r9_the_live_view_follows_and_leaves_the_terminal_as_it_was() {
    let world = World::new(None).await;
    let mut screen = Screen::new(80, 24);
    assert!(screen.is_as_usual());
    let mut view = world
        .expiry
        .on_terminal(&["status", "--watch"], &screen.theirs);
    let pid = view.id().expect("it runs");

    screen.shows("CRITICAL").await;
    screen.shows("no watcher is alive").await;
    assert!(!screen.is_as_usual() && !screen.written.borrow().contains(LEAVE));
    world
        .expiry
        .ok(&["subscriber", "add", "joe", "--for", "1h"])
        .await;
    screen.shows("joe").await;
    screen.resize(40, 3);
    signal(pid, "-WINCH").await;
    screen
        .shows("0 watchers alive, 1 subscriber live, ow…")
        .await;

    signal(pid, "-INT").await;
    let ended = timeout(PATIENCE, view.wait()).await.expect("it ends");
    assert_eq!(ended.expect("waited for").code(), Some(0));
    screen.shows(LEAVE).await;
    let written = screen.written.borrow().clone();
    assert!(written.starts_with(ENTER) && written.ends_with(LEAVE));
    assert!(screen.is_as_usual());
}
