//! The service with a watcher inside, a simulated router, and somebody who looks at the page.

use expiry_core::MacAddr;
use expiry_mikrotik::sim::{ClientId, SimRouter};
use expiry_tests::{process::Service, world::World};

use crate::browser::Browser;

pub(crate) const TOKEN: &str = "token-of-this-test-0123456789-0123456789";

pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) browser: Browser,
    pub(crate) url: String,
    service: Service,
}

impl Stage {
    /// Starts all of it, with nobody signed in.
    pub(crate) async fn new() -> Self {
        Self::after(|_| {}).await
    }

    /// The same, after something was done to the router that no watcher has seen yet.
    pub(crate) async fn after(prepare: impl FnOnce(&SimRouter)) -> Self {
        Self::start(&[], prepare).await
    }

    /// The same, with other settings of the service.
    pub(crate) async fn with(settings: &[(&str, &str)]) -> Self {
        Self::start(settings, |_| {}).await
    }

    async fn start(settings: &[(&str, &str)], prepare: impl FnOnce(&SimRouter)) -> Self {
        let world = World::new(None).await;
        prepare(&world.router);
        let (service, address) = serve(&world, "127.0.0.1:0", settings).await;
        let url = format!("http://{address}/");
        let browser = Browser::start(1440, 900).await;
        browser.open(&url).await;
        Self {
            world,
            browser,
            url,
            service,
        }
    }

    /// The same, with somebody signed in and the page loaded.
    pub(crate) async fn signed_in() -> Self {
        let stage = Self::new().await;
        stage.sign_in(TOKEN).await;
        stage.browser.until_says("#connection", "Live").await;
        stage.browser.until_says("#health-word", "Healthy").await;
        stage
    }

    /// Types a token and sends it.
    pub(crate) async fn sign_in(&self, token: &str) {
        self.browser
            .until("document.activeElement.id === 'token'")
            .await;
        self.browser.press(format!("{token}\u{e007}")).await;
    }

    /// Adds a subscriber with access for so long, whose device is online and comes back if it can.
    pub(crate) async fn subscriber(&self, name: &str, access: &str, mac: &str) -> ClientId {
        let device = World::device(&self.world.router, name, mac.parse().expect("a MAC"));
        self.world
            .expiry
            .ok(&["subscriber", "add", name, "--for", access, "--device", mac])
            .await;
        device
    }

    /// Adds the only subscriber, and opens what the page knows of it.
    pub(crate) async fn sheet(&self, name: &str, access: &str, mac: &str) -> ClientId {
        let device = self.subscriber(name, access, mac).await;
        self.browser.until_says("#upcoming", name).await;
        self.browser.click("#upcoming button.name").await;
        let why = "#subscriber-why";
        self.browser.until_says(why, "Router tower").await;
        device
    }

    /// Whether a device can move data: what the router lets through, not what it says.
    pub(crate) fn is_moving(&self, device: ClientId) -> bool {
        self.world
            .router
            .with(|sim| sim.client_can_move_bytes(device))
    }

    /// Makes the service fall silent: what is asked of it gets no answer.
    pub(crate) async fn freeze(&self) {
        self.service.signal("STOP").await;
    }

    /// Kills the service, as a power cut does.
    pub(crate) async fn kill(self) -> Dark {
        let Self {
            world,
            browser,
            url,
            service,
        } = self;
        service.kill().await;
        Dark {
            world,
            browser,
            url,
        }
    }

    pub(crate) async fn close(self) {
        self.browser.close().await;
        assert_eq!(self.service.terminate().await, 0);
    }
}

/// A stage without the service.
pub(crate) struct Dark {
    pub(crate) world: World,
    pub(crate) browser: Browser,
    url: String,
}

impl Dark {
    /// Starts the service again, where it was.
    pub(crate) async fn serve(self) -> Stage {
        self.serve_with(&[]).await
    }

    /// The same, with other settings.
    pub(crate) async fn serve_with(self, settings: &[(&str, &str)]) -> Stage {
        let Self {
            world,
            browser,
            url,
        } = self;
        let address = url
            .trim_start_matches("http://")
            .trim_end_matches('/')
            .to_owned();
        let (service, _) = serve(&world, &address, settings).await;
        Stage {
            world,
            browser,
            url,
            service,
        }
    }
}

async fn serve(world: &World, listen: &str, settings: &[(&str, &str)]) -> (Service, String) {
    let usual = world
        .expiry
        .clone()
        .with("EXPIRY_HTTP_TOKEN", TOKEN)
        .with("EXPIRY_LISTEN", listen)
        .with("EXPIRY_WATCHER_ENABLED", "true");
    let http = settings
        .iter()
        .fold(usual, |http, (name, value)| http.with(name, *value));
    let mut service = http.http(&[]);
    let line = service.line("listening").await;
    let (_, address) = line.split_once("address=").expect("it says where");
    let address = address.split_whitespace().next().expect("an address");
    (service, address.to_owned())
}

pub(crate) fn mac(last: u8) -> MacAddr {
    MacAddr::new([2, 0, 0, 0, 0, last])
}
