//! The colour space CIE L\*a\*b\* as red, green and blue of sRGB (IEC 61966-2-1).

/// White of CIE's illuminant D50, on which L\*a\*b\* rests in files for print.
const WHITE: [f64; 3] = [0.964_22, 1.0, 0.825_21];

/// From XYZ under D50 to linear red, green and blue: sRGB's primaries, adapted by Bradford's
/// method.
const FROM_XYZ: [[f64; 3]; 3] = [
    [3.133_856_1, -1.616_866_7, -0.490_614_6],
    [-0.978_768_4, 1.916_141_5, 0.033_454_0],
    [0.071_945_3, -0.228_991_4, 1.405_242_7],
];

/// Converts lightness (0 to 100) and two opponent colours to shares of red, green and blue, each
/// from 0 to 1. Colours that sRGB does not have are cut to its range.
pub(super) fn to_rgb([lightness, a, b]: [f64; 3]) -> [f64; 3] {
    // CIE 15:2004, 8.2.1: the inverse of the cube root with its straight foot.
    let inverse = |root: f64| {
        const FOOT: f64 = 6.0 / 29.0;
        if root > FOOT { root.powi(3) } else { 3.0 * FOOT * FOOT * (root - 4.0 / 29.0) }
    };
    let middle = (lightness + 16.0) / 116.0;
    let roots = [middle + a / 500.0, middle, middle - b / 200.0];
    let xyz = [0, 1, 2].map(|axis| WHITE[axis] * inverse(roots[axis]));
    FROM_XYZ.map(|row| {
        let linear: f64 = row.iter().zip(xyz).map(|(factor, value)| factor * value).sum();
        let linear = linear.clamp(0.0, 1.0);
        if linear <= 0.003_130_8 { 12.92 * linear } else { 1.055 * linear.powf(1.0 / 2.4) - 0.055 }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_those_of_little_cms() {
        // Pillow 13.0 (LittleCMS): `ImageCms.buildTransform` from `createProfile("LAB", 5000)` to
        // `createProfile("sRGB")` with the flag `NOOPTIMIZE`, of a light, a and b in bytes.
        for (lab, expected) in [
            ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
            ([255.0, 0.0, 0.0], [255.0, 255.0, 255.0]),
            ([128.0, 0.0, 0.0], [119.0, 119.0, 119.0]),
            ([140.0, 30.0, -20.0], [169.0, 112.0, 167.0]),
            ([200.0, -20.0, 40.0], [176.0, 204.0, 117.0]),
            ([60.0, 10.0, 10.0], [74.0, 50.0, 42.0]),
            ([30.0, -5.0, -8.0], [17.0, 33.0, 42.0]),
        ] {
            let [light, a, b] = lab;
            let found = to_rgb([light / 2.55, a, b]).map(|share| (share * 255.0).round());
            assert_eq!(found, expected, "{lab:?}");
        }
    }
}
