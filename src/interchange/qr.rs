//! QR codes (ISO/IEC 18004) of text: their modules, and a picture of them.

use qrcodegen_no_heap::{QrCode, QrCodeEcc, Version};
use zeroize::Zeroizing;

/// The light border that the standard asks for, in modules.
pub const BORDER: i32 = 4;

/// The modules of a code, in rows.
pub struct Modules {
    size: i32,
    dark: Zeroizing<Vec<bool>>,
}

impl Modules {
    /// The code of `text`; `None` if no code holds so much.
    pub fn of(text: &str) -> Option<Self> {
        let mut scratch = Zeroizing::new(vec![0; Version::MAX.buffer_len()]);
        let mut modules = Zeroizing::new(vec![0; Version::MAX.buffer_len()]);
        let code = QrCode::encode_text(text, &mut scratch, &mut modules, QrCodeEcc::Low, Version::MIN, Version::MAX, None, true);
        let code = code.ok()?;
        let size = code.size();
        let mut dark = Zeroizing::new(Vec::with_capacity((size * size) as usize));
        for y in 0..size {
            dark.extend((0..size).map(|x| code.get_module(x, y)));
        }
        Some(Self { size, dark })
    }

    /// How many there are in a row, and rows.
    pub fn size(&self) -> i32 {
        self.size
    }

    /// Whether a module is dark; what is outside is not.
    pub fn is_dark(&self, x: i32, y: i32) -> bool {
        let is_inside = (0..self.size).contains(&x) && (0..self.size).contains(&y);
        is_inside && self.dark[(y * self.size + x) as usize]
    }

    /// A picture (SVG 1.1), black on white, a unit to a module.
    pub fn svg(&self) -> Zeroizing<String> {
        let side = self.size + 2 * BORDER;
        // Enough for all of it: a string that grows leaves copies behind.
        let mut svg = Zeroizing::new(String::with_capacity(256 + 20 * self.dark.len()));
        svg.push_str(&format!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {side} {side}"><path fill="#fff" d="M0 0h{side}v{side}H0z"/><path d=""##
        ));
        for y in 0..self.size {
            for x in (0..self.size).filter(|x| self.is_dark(*x, y)) {
                svg.push_str(&format!("M{} {}h1v1h-1z", x + BORDER, y + BORDER));
            }
        }
        svg.push_str(r#""/></svg>"#);
        svg
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_the_modules_of_the_code() {
        let modules = Modules::of("otpauth://totp/x?secret=GEZDGNBVGY3TQOJQ").unwrap();
        // The three finders of every code, and the light around them.
        let last = modules.size() - 7;
        for (x, y) in [(0, 0), (last, 0), (0, last)] {
            assert!((0..7).all(|step| modules.is_dark(x + step, y) && modules.is_dark(x, y + step)));
            assert!(!modules.is_dark(x + 1, y + 1) && modules.is_dark(x + 3, y + 3));
        }
        assert!(!modules.is_dark(-1, 0) && !modules.is_dark(0, modules.size()));
        let svg = modules.svg();
        let dark = (0..modules.size()).flat_map(|y| (0..modules.size()).map(move |x| (x, y)));
        let dark: Vec<_> = dark.filter(|(x, y)| modules.is_dark(*x, *y)).collect();
        assert_eq!(svg.matches("h1v1h-1z").count(), dark.len());
        assert!(dark.iter().all(|(x, y)| svg.contains(&format!("M{} {}h1v1h-1z", x + BORDER, y + BORDER))));
        assert!(svg.ends_with("</svg>") && svg.capacity() == 256 + 20 * (modules.size() * modules.size()) as usize);
        assert!(Modules::of(&"x".repeat(3000)).is_none());
    }
}
