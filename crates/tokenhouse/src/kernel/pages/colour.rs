//! The brand's colour, made readable on light and on dark ground by the contrast that WCAG 2.2 asks for.

use std::fmt;

/// The grounds that text stands on; `page.css` has the same.
const LIGHT: [Colour; 2] = [Colour([0xff, 0xff, 0xff]), Colour([0xf5, 0xf5, 0xf2])];
const DARK: [Colour; 2] = [Colour([0x15, 0x17, 0x19]), Colour([0x1f, 0x22, 0x25])];
const WHITE: Colour = Colour([0xff, 0xff, 0xff]);
const BLACK: Colour = Colour([0, 0, 0]);
/// WCAG 2.2, 1.4.3, with a little to spare; on dark ground thin coloured text needs more to be pleasant (1.4.6).
const ENOUGH_ON_LIGHT: f64 = 4.6;
const ENOUGH_ON_DARK: f64 = 7.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Colour([u8; 3]);

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [red, green, blue] = self.0;
        write!(f, "#{red:02x}{green:02x}{blue:02x}")
    }
}

impl Colour {
    /// Reads `#rgb` or `#rrggbb`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('#').filter(|rest| rest.is_ascii())?;
        let whole = match digits.len() {
            3 => digits.chars().flat_map(|digit| [digit, digit]).collect(),
            6 => digits.to_owned(),
            _ => return None,
        };
        let number = u32::from_str_radix(&whole, 16).ok()?;
        let [_, red, green, blue] = number.to_be_bytes();
        whole
            .chars()
            .all(|c| c.is_ascii_hexdigit())
            .then_some(Self([red, green, blue]))
    }

    /// WCAG 2.2, "relative luminance".
    fn luminance(self) -> f64 {
        let linear = |byte: u8| {
            let part = f64::from(byte) / 255.0;
            if part <= 0.04045 {
                part / 12.92
            } else {
                ((part + 0.055) / 1.055).powf(2.4)
            }
        };
        let [red, green, blue] = self.0.map(linear);
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }

    /// WCAG 2.2, "contrast ratio".
    fn contrast(self, other: Self) -> f64 {
        let (one, two) = (self.luminance(), other.luminance());
        (one.max(two) + 0.05) / (one.min(two) + 0.05)
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between two bytes there are only bytes"
    )]
    fn towards(self, other: Self, part: f64) -> Self {
        let mix = |index: usize| {
            let (from, to) = (f64::from(self.0[index]), f64::from(other.0[index]));
            (from + (to - from) * part).round() as u8
        };
        Self([mix(0), mix(1), mix(2)])
    }

    /// This colour, moved towards `end` as little as makes it readable on all of `grounds`.
    fn readable_on(self, grounds: [Self; 2], enough: f64, end: Self) -> Self {
        (0..=50)
            .map(|step| self.towards(end, f64::from(step) / 50.0))
            .find(|colour| grounds.iter().all(|ground| colour.contrast(*ground) >= enough))
            .unwrap_or(end)
    }

    fn on_light(self) -> Self {
        self.readable_on(LIGHT, ENOUGH_ON_LIGHT, BLACK)
    }

    fn on_dark(self) -> Self {
        self.readable_on(DARK, ENOUGH_ON_DARK, WHITE)
    }

    /// What text on this colour has.
    fn text(self) -> Self {
        if self.contrast(WHITE) >= self.contrast(BLACK) {
            WHITE
        } else {
            BLACK
        }
    }

    /// The custom properties that `page.css` uses: `--accent` for surfaces as it is, `--on-accent` for text on them,
    /// `--link` for text and lines.
    pub(super) fn style(self) -> String {
        let text = self.text();
        let (light, dark) = (self.on_light(), self.on_dark());
        format!(
            ":root{{--accent:{self};--on-accent:{text};--link:{light}}}\n\
             @media (prefers-color-scheme:dark){{:root{{--link:{dark}}}}}\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_read() {
        assert_eq!(Colour::parse("#3b5bdb"), Some(Colour([0x3b, 0x5b, 0xdb])));
        assert_eq!(Colour::parse("#FA0").unwrap().to_string(), "#ffaa00");
        for text in [
            "", "#", "red", "3b5bdb", "#3b5bd", "#3b5bdg", "#+b5bdb", "#fff;}", "#ééé",
        ] {
            assert_eq!(Colour::parse(text), None, "{text}");
        }
    }

    #[test]
    fn black_on_white_is_what_wcag_says() {
        let contrast = Colour([0, 0, 0]).contrast(WHITE);
        assert!((contrast - 21.0).abs() < 1e-9);
        assert!((Colour([0x76, 0x76, 0x76]).contrast(WHITE) - 4.54).abs() < 0.01);
    }

    #[test]
    fn every_colour_is_readable_in_both_schemes() {
        let steps = || (0..=255).step_by(15).map(|byte: i32| u8::try_from(byte).unwrap());
        for red in steps() {
            for green in steps() {
                for blue in steps() {
                    let colour = Colour([red, green, blue]);
                    assert!(colour.contrast(colour.text()) >= 4.5, "text on {colour}");
                    let light = colour.on_light();
                    let dark = colour.on_dark();
                    assert!(
                        LIGHT.iter().all(|ground| light.contrast(*ground) >= 4.5),
                        "{colour}"
                    );
                    assert!(
                        DARK.iter().all(|ground| dark.contrast(*ground) >= 4.5),
                        "{colour}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_is_readable_stays_as_it_is() {
        let green = Colour::parse("#2f5d50").unwrap();
        assert_eq!(green.on_light(), green);
    }

    #[test]
    fn the_grounds_are_those_of_the_style() {
        let style = include_str!("../../../assets/pages/page.css");
        for ground in LIGHT.iter().chain(&DARK) {
            assert!(style.contains(&ground.to_string()), "{ground}");
        }
    }
}
