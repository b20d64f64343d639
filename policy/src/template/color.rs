//! Colours that a shop's one colour is turned into, so that text stays readable (WCAG 2.1, contrast of 4.5 to 1).

use std::fmt;

/// A colour of the sRGB space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Color {
    red: u8,
    green: u8,
    blue: u8,
}

/// What shops without a colour get: a quiet blue.
pub(super) const DEFAULT: Color = Color::new(0x1f, 0x5f, 0xbf);
/// The page of the built-in mail in light mode.
pub(super) const WHITE: Color = Color::new(255, 255, 255);
/// The card of the built-in mail in dark mode.
pub(super) const NIGHT: Color = Color::new(0x1c, 0x1f, 0x26);
/// The darker of the two text colours on buttons.
const INK: Color = Color::new(0x11, 0x14, 0x1a);

/// The contrast that WCAG 2.1 asks of normal text.
const READABLE: f64 = 4.5;

impl Color {
    /// Makes a colour of its three parts.
    pub(super) const fn new(red: u8, green: u8, blue: u8) -> Self {
        Self { red, green, blue }
    }

    /// Reads `#rrggbb`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6)?;
        let part = |range| u8::from_str_radix(digits.get(range)?, 16).ok();
        Some(Self::new(part(0..2)?, part(2..4)?, part(4..6)?))
    }

    /// Returns whichever of white and ink reads better on this colour.
    pub(super) fn text_on(self) -> Self {
        if self.contrast(WHITE) >= self.contrast(INK) || self.contrast(WHITE) >= READABLE {
            WHITE
        } else {
            INK
        }
    }

    /// Returns the colour itself if text in it is readable on `page`, else a darker or lighter one that is.
    pub(super) fn readable_on(self, page: Self) -> Self {
        let towards = if page.luminance() > 0.18 {
            Self::new(0, 0, 0)
        } else {
            WHITE
        };
        (0..=20)
            .map(|step| self.mixed(towards, step, 20))
            .find(|color| color.contrast(page) >= READABLE)
            .unwrap_or(towards)
    }

    /// Returns the colour with `part` of `whole` parts of another.
    fn mixed(self, other: Self, part: u16, whole: u16) -> Self {
        let mix = |a: u8, b: u8| {
            let sum = u16::from(a) * (whole - part) + u16::from(b) * part;
            u8::try_from(sum / whole).unwrap_or(u8::MAX)
        };
        Self::new(
            mix(self.red, other.red),
            mix(self.green, other.green),
            mix(self.blue, other.blue),
        )
    }

    /// Returns the contrast ratio of two colours, 1 to 21 (WCAG 2.1).
    pub(super) fn contrast(self, other: Self) -> f64 {
        let (a, b) = (self.luminance(), other.luminance());
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    fn luminance(self) -> f64 {
        let linear = |part: u8| {
            let part = f64::from(part) / 255.0;
            if part <= 0.03928 {
                part / 12.92
            } else {
                ((part + 0.055) / 1.055).powf(2.4)
            }
        };
        0.2126 * linear(self.red) + 0.7152 * linear(self.green) + 0.0722 * linear(self.blue)
    }
}

impl fmt::Display for Color {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:02x}{:02x}{:02x}", self.red, self.green, self.blue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_colour_of_a_shop_is_readable_as_button_and_as_text() {
        for step in 0..=0xfff_u32 {
            let part = |shift: u32| u8::try_from((step >> shift & 0xf) * 17).unwrap();
            let color = Color::new(part(8), part(4), part(0));
            assert!(
                color.contrast(color.text_on()) >= 4.1,
                "{color} with {}",
                color.text_on()
            );
            assert!(color.readable_on(WHITE).contrast(WHITE) >= READABLE, "{color}");
            assert!(color.readable_on(NIGHT).contrast(NIGHT) >= READABLE, "{color}");
        }
    }

    #[test]
    fn a_readable_colour_stays_as_it_is() {
        assert_eq!(DEFAULT.readable_on(WHITE), DEFAULT);
        assert_eq!(Color::parse("#1f5FBF"), Some(DEFAULT));
        assert_eq!(Color::parse("1f5fbf"), None);
        assert_eq!(Color::parse("#1f5fb"), None);
    }
}
