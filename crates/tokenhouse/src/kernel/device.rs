//! What a device calls itself, in words a person knows it by.

use serde::Serialize;

/// A browser or program, and the system it runs on, as far as they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Device {
    pub(crate) program: Option<String>,
    pub(crate) system: Option<&'static str>,
}

/// In the order of asking: most name others besides themselves.
const BROWSERS: [(&str, &str); 8] = [
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
];
const SYSTEMS: [(&str, &str); 7] = [
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
];

/// Characters of the name that a program gives itself.
const LONGEST: usize = 20;

impl Device {
    /// From the `User-Agent` header.
    pub(crate) fn of(user_agent: Option<&str>) -> Self {
        let Some(text) = user_agent else {
            return Self::default();
        };
        let known = |list: &[(&str, &'static str)]| {
            list.iter()
                .find(|(mark, _)| text.contains(mark))
                .map(|(_, name)| *name)
        };
        let program = if text.starts_with("Mozilla/") {
            known(&BROWSERS).map(str::to_owned)
        } else {
            // A program's own: `curl/8.5.0`. Nothing that could be read as a message or an address: it stands in mails,
            // which anybody can have sent to anybody.
            let name = text.split(['/', ' ', '(']).next().unwrap_or_default();
            let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
            let plain = !name.is_empty() && name.chars().all(is_plain);
            plain.then(|| name.chars().take(LONGEST).collect())
        };
        Self {
            program,
            system: known(&SYSTEMS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_devices_are_known() {
        for (text, program, system) in [
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
                Some("Firefox"),
                Some("Linux"),
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0",
                Some("Edge"),
                Some("Windows"),
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1",
                Some("Safari"),
                Some("iPhone"),
            ),
            (
                "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36",
                Some("Chrome"),
                Some("Android"),
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15",
                Some("Safari"),
                Some("macOS"),
            ),
            ("curl/8.5.0", Some("curl"), None),
            ("Call 0800 1 now, your account is locked", Some("Call"), None),
            ("evil.example/1.0", None, None),
            ("http://evil.example", None, None),
            (
                "a-name-that-goes-on-and-on-and-on",
                Some("a-name-that-goes-on-"),
                None,
            ),
            ("Mozilla/5.0 (compatible)", None, None),
            ("", None, None),
        ] {
            let device = Device::of(Some(text));
            assert_eq!(
                (device.program.as_deref(), device.system),
                (program, system),
                "{text}"
            );
        }
        assert_eq!(Device::of(None), Device::default());
    }
}
