//! A QR code as SVG. One path on a white ground, whatever the colours of the page: phones read dark on light.

use std::fmt::Write as _;

use fast_qr::QRBuilder;
use fast_qr::qr::QRCodeError;

/// Modules of white around it (ISO/IEC 18004 §6.3.8).
const MARGIN: usize = 4;

pub(super) fn svg(text: &str) -> Result<String, NoQrCode> {
    let code = QRBuilder::new(text).build().map_err(|_: QRCodeError| NoQrCode)?;
    let mut path = String::new();
    for (y, row) in code.data.chunks(code.size).take(code.size).enumerate() {
        let mut x = 0;
        while x < row.len() {
            let run = row[x..].iter().take_while(|module| module.value()).count();
            if run > 0 {
                // Writing to a String cannot fail.
                let _ = write!(path, "M{} {}h{run}v1h-{run}z", x + MARGIN, y + MARGIN);
            }
            x += run.max(1);
        }
    }
    let side = code.size + 2 * MARGIN;
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" shape-rendering=\"crispEdges\">\
         <path fill=\"#fff\" d=\"M0 0h{side}v{side}H0z\"/><path fill=\"#000\" d=\"{path}\"/></svg>"
    ))
}

/// The text is longer than any QR code.
#[derive(Debug, thiserror::Error)]
#[error("the account's name is too long for a QR code")]
pub(super) struct NoQrCode;
