//! A headless Chromium, used as a person uses it: by mouse, by keyboard, and by looking.

use std::{
    io::{BufRead, BufReader, ErrorKind},
    iter,
    mem::ManuallyDrop,
    net::TcpListener,
    path::Path,
    process::{self, Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use serde_json::{Value, json};
use thirtyfour::{ChromiumLikeCapabilities, LoggingPrefsLogLevel, prelude::*};
use tokio::time::{interval, timeout};

/// The longest that anything is waited for before a test fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// Chromium with one tab.
pub(crate) struct Browser {
    // Dropped by a test that failed, it would wait for answers on a runtime that has ended.
    tab: ManuallyDrop<WebDriver>,
    _driver: Driver,
}

impl Browser {
    /// Starts it with a window of that size.
    pub(crate) async fn start(width: u32, height: u32) -> Self {
        let driver = Driver::start();
        let mut options = DesiredCapabilities::chrome();
        let size = format!("--window-size={width},{height}");
        // Its sandbox does not work for root, nor in most containers; only our own page is loaded.
        for argument in [
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            &size,
        ] {
            options.add_arg(argument).expect("an argument");
        }
        let logs = options.set_logging_prefs("browser", LoggingPrefsLogLevel::All);
        logs.expect("a wish");
        let tab = WebDriver::new(&driver.url, options).await;
        let browser = Self {
            tab: ManuallyDrop::new(tab.expect("Chromium starts")),
            _driver: driver,
        };
        browser.resize(width, height).await;
        browser
    }

    /// Makes the tab as large as a screen.
    pub(crate) async fn resize(&self, width: u32, height: u32) {
        let screen = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600,
        });
        self.tell("Emulation.setDeviceMetricsOverride", screen)
            .await;
    }

    /// Wishes for `light` or `dark` pages.
    pub(crate) async fn prefer(&self, scheme: &str) {
        let wish = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.tell("Emulation.setEmulatedMedia", wish).await;
    }

    /// Lets no request through to such addresses, with `*` for any part; an empty list lets all through.
    pub(crate) async fn block(&self, addresses: &[&str]) {
        self.tell("Network.enable", json!({})).await;
        self.tell("Network.setBlockedURLs", json!({"urls": addresses}))
            .await;
    }

    async fn tell(&self, command: &str, parameters: Value) -> Value {
        let answer = self.tab.cdp().send_raw(command, parameters).await;
        answer.unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    pub(crate) async fn open(&self, url: &str) {
        self.tab.goto(url).await.expect("the page loads");
    }

    pub(crate) async fn reload(&self) {
        self.tab.refresh().await.expect("the page loads");
    }

    /// Clicks on what `selector` finds.
    pub(crate) async fn click(&self, selector: &str) {
        let found = self.tab.find(By::Css(selector)).await;
        let clicked = found
            .unwrap_or_else(|_| panic!("no {selector}"))
            .click()
            .await;
        clicked.unwrap_or_else(|error| panic!("{selector} cannot be clicked: {error}"));
    }

    /// Presses the mouse at one place of the screen, and lets go of it at another.
    pub(crate) async fn drag(&self, from: (i64, i64), to: (i64, i64)) {
        let mouse = self.tab.action_chain().move_to(from.0, from.1);
        let mouse = mouse.click_and_hold().move_to(to.0, to.1).release();
        mouse.perform().await.expect("dragged");
    }

    /// Presses keys, wherever the focus is.
    pub(crate) async fn press(&self, keys: impl Into<TypingData>) {
        let keys = self.tab.action_chain().send_keys(keys);
        keys.perform().await.expect("pressed");
    }

    /// Evaluates an expression in the page.
    pub(crate) async fn eval(&self, expression: &str) -> Value {
        let script = format!("return ({expression});");
        let found = self.tab.execute(script, Vec::new()).await;
        let found = found.unwrap_or_else(|error| panic!("{expression}: {error}"));
        found.json().clone()
    }

    /// The text of what `selector` finds, as it is seen; empty if there is none.
    pub(crate) async fn text(&self, selector: &str) -> String {
        let selector = json!(selector);
        let text = self
            .eval(&format!(
                "(e => e?.checkVisibility() ? e.innerText : '')(document.querySelector({selector}))"
            ))
            .await;
        text.as_str().expect("a text").to_owned()
    }

    /// Waits until an expression is true.
    pub(crate) async fn until(&self, expression: &str) {
        let mut ticks = interval(Duration::from_millis(20));
        let holds = async {
            while self.eval(expression).await != Value::Bool(true) {
                ticks.tick().await;
            }
        };
        if timeout(PATIENCE, holds).await.is_err() {
            let page = self.text("body").await;
            panic!("never: {expression}\nthe page says:\n{page}");
        }
    }

    /// Waits until what `selector` finds is seen and says `text`, among other things.
    pub(crate) async fn until_says(&self, selector: &str, text: &str) {
        let (selector, text) = (json!(selector), json!(text));
        self.until(&format!(
            "[...document.querySelectorAll({selector})].some((e) => e.checkVisibility() && e.innerText.includes({text}))"
        ))
        .await;
    }

    /// Waits until nothing that `selector` finds says `text`.
    pub(crate) async fn until_silent(&self, selector: &str, text: &str) {
        let (selector, text) = (json!(selector), json!(text));
        self.until(&format!(
            "[...document.querySelectorAll({selector})].every((e) => !e.checkVisibility() || !e.innerText.includes({text}))"
        ))
        .await;
    }

    /// The roles and names that a screen reader is told of everything that can be used.
    pub(crate) async fn controls(&self) -> Vec<(String, String)> {
        let tree = self.tell("Accessibility.getFullAXTree", json!({})).await;
        let nodes = tree["nodes"].as_array().expect("nodes").iter();
        let of =
            |node: &Value, key: &str| node[key]["value"].as_str().unwrap_or_default().to_owned();
        let named = nodes.filter(|node| node["ignored"] != true);
        let named = named.map(|node| (of(node, "role"), of(node, "name")));
        let is_used = |role: &str| {
            [
                "button",
                "link",
                "textbox",
                "searchbox",
                "combobox",
                "radio",
                "dialog",
                "table",
                "main",
            ]
            .contains(&role)
        };
        named.filter(|(role, _)| is_used(role)).collect()
    }

    /// What the page complained of since it was asked last, but for answers that are no good ones.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let told = self.tab.browser_log().await.expect("a log");
        let told = told.into_iter().map(|entry| entry.message);
        told.filter(|text| !text.contains("Failed to load resource"))
            .collect()
    }

    /// Writes what is seen to a file.
    pub(crate) async fn picture(&self, path: &Path) {
        self.tab.screenshot(path).await.expect("a picture");
    }

    /// Ends it.
    pub(crate) async fn close(self) {
        ManuallyDrop::into_inner(self.tab)
            .quit()
            .await
            .expect("Chromium ends");
    }
}

/// The program that steers Chromium.
struct Driver {
    process: Child,
    url: String,
}

impl Driver {
    fn start() -> Self {
        let port = free_port();
        let mut command = Command::new("chromedriver");
        command
            .arg(format!("--port={port}"))
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        let process = command.spawn();
        let mut process = process.expect("chromedriver starts; `.ci/test` installs it");
        let said = BufReader::new(process.stdout.take().expect("piped"));
        let mut lines = said.lines().map_while(Result::ok);
        assert!(
            lines.any(|line| line.contains("started successfully")),
            "chromedriver listens on {port}"
        );
        Self {
            process,
            url: format!("http://127.0.0.1:{port}"),
        }
    }
}

/// A port for both kinds of loopback address. Told to choose itself, chromedriver chooses by one of
/// them and ends if the other is taken. It is below those that systems hand out, so nobody else gets
/// it meanwhile.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(process::id() % 10_000).expect("small") + 10_000;
    let ports = iter::repeat_with(|| first + NEXT.fetch_add(1, Ordering::Relaxed));
    let is_free = |port: &u16| {
        TcpListener::bind(("127.0.0.1", *port)).is_ok()
            && TcpListener::bind(("::1", *port))
                .map_or_else(|error| error.kind() != ErrorKind::AddrInUse, |_| true)
    };
    ports.take(1_000).find(is_free).expect("a free port")
}

impl Drop for Driver {
    /// Asks it to end, and with it Chromium, which would go on without it.
    fn drop(&mut self) {
        let pid = self.process.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let _ = self.process.wait();
    }
}
