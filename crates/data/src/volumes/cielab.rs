//! Colours in DICOM's scaled CIELab (PS3.3, C.10.7.1.1).

/// Converts an sRGB colour to L, a and b, each scaled to 16 bits.
pub(super) fn scaled_lab(color: [u8; 3]) -> [u16; 3] {
    let [red, green, blue] = color.map(|value| {
        let value = f64::from(value) / 255.0;
        if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    });
    // IEC 61966-2-1, adapted from D65 to D50 by Bradford's matrix; the white of D50.
    let x = (0.436_074_7 * red + 0.385_064_9 * green + 0.143_080_4 * blue) / 0.964_22;
    let y = 0.222_504_5 * red + 0.716_878_6 * green + 0.060_616_9 * blue;
    let z = (0.013_932_2 * red + 0.097_104_5 * green + 0.714_173_3 * blue) / 0.825_21;
    let [x, y, z] = [x, y, z]
        .map(|share: f64| if share > 216.0 / 24389.0 { share.cbrt() } else { (24389.0 / 27.0 * share + 16.0) / 116.0 });
    let (lightness, a, b) = (116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z));
    let scaled =
        |value: f64, low: f64, range: f64| ((value - low) / range * 65535.0).round().clamp(0.0, 65535.0) as u16;
    [scaled(lightness, 0.0, 100.0), scaled(a, -128.0, 255.0), scaled(b, -128.0, 255.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_is_light_and_without_colour() {
        assert_eq!(scaled_lab([0; 3]), [0, 32896, 32896]);
        let [lightness, a, b] = scaled_lab([255; 3]);
        assert!(lightness > 65500 && a.abs_diff(32896) < 20 && b.abs_diff(32896) < 20, "{lightness} {a} {b}");
    }
}
