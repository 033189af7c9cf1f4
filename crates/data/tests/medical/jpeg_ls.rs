//! JPEG-LS in DICOM: refused with the remedy, or read where the feature `charls` is on.

use dicom_dictionary_std::uids;
use seg_data::read_image;

use super::dicom_file::File;

/// The example of T.87, annex H.3: 4x4 pixels of 8 bits.
const STANDARD: &str = "ffd8fff7000b080004000401011100ffda0008010100000000c000006c80208e01c00000574000006ee6000001bc18000005\
                        d800009160ffd9";

fn bytes(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks_exact(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// Makes a grey image of 4x4 pixels with this code.
fn standard(code: Vec<u8>) -> File {
    File::bytes([4, 4], "MONOCHROME2", 1, &[0; 16]).compressed(uids::JPEGLS_LOSSLESS, vec![code])
}

#[cfg(not(feature = "charls"))]
#[test]
fn a_program_without_the_codec_names_the_feature_and_the_program_that_converts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.dcm");
    standard(bytes(STANDARD)).save(&path);
    let message = read_image(&path).unwrap_err().to_string();
    for part in ["JPEG-LS Lossless Image Compression (1.2.840.10008.1.2.4.80)", "`dcmdjpls`", "`--features charls`"] {
        assert!(message.contains(part), "{message}");
    }
}

#[cfg(feature = "charls")]
mod decoded {
    use dicom_dictionary_std::tags;
    use seg_contract::{Reading, Windowing};
    use seg_data::read_image_as;

    use super::*;

    /// 4x3 pixels of 12 bits, encoded by CharLS 2.4 (imagecodecs 2026.3.6). libjpeg of T. Richter,
    /// another implementation, decodes it to [`VALUES`].
    const TWELVE_BITS: &str = "ffd8ffe800205350494646000200000100000003000000040a1006010000012c0000012cffe8000800000001ffd8fff7000b\
                               100003000401011100fff8000d01ffff0012004301140040ffda0008010100000000807fd01f71b95f4008597b221410c07f\
                               501fb911a0ffd9";
    const VALUES: [u16; 12] = [0, 4095, 17, 900, 1000, 1001, 1003, 2047, 2048, 5, 4094, 3000];

    /// 10x12 pixels, of which red is `20 x + y`, green `255 - 9 x - 3 y` and blue `x y mod 97`,
    /// interleaved by lines and by samples, encoded and decoded likewise.
    const COLORS: [&str; 2] = [
        "ffd8fff7001108000c000a03011100021100031100ffda000c03010002000300000100801c01c01ca9322fbada093ce34c2ca2497fda\
         57e664da54ccdb6fc237fc6afd264c9a4893fe4ffd48925225ff37fe99108c9884bffbfe522c9b109ffcff552888884ffeff5bb91109\
         ff6ffae21210404204ff77fdc4510405c47ff7fdc8a2080b1dff6fff11441015000001a0ffd9",
        "ffd8fff7001108000c000a03011100021100031100ffda000c030100020003000002004e00206880391105a126d0936849b424ca54ba\
         94ba9735cd225b5b5cbbde8668cd36c9ed3dced22244b9cd6b5aed2c969ed34c9b69ec9625ae735ed3dec984cbbb5cd65964c4defefe\
         d6593135f670e70e0701c2609be6e3b8e0e03bb11bedc771c1c076676fb71dc70701aac00000d0ffd9",
    ];

    #[test]
    fn the_example_of_the_standard_has_its_values() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.dcm");
        standard(bytes(STANDARD)).save(&path);
        let found: Vec<f32> = read_image(&path).unwrap().pixels().map(|pixel| pixel[0] * 255.0).collect();
        let expected = [0, 0, 90, 74, 68, 50, 43, 205, 64, 145, 145, 145, 100, 145, 145, 145_u8].map(f32::from);
        assert!(found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-3), "{found:?}");
    }

    #[test]
    fn twelve_bits_have_their_values() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.dcm");
        let mut file = File::grey(4, &[0; 12]).compressed(uids::JPEGLS_LOSSLESS, vec![bytes(TWELVE_BITS)]);
        file.number(tags::BITS_STORED, 12);
        file.number(tags::HIGH_BIT, 11);
        file.save(&path);
        // The window of all values: v / 4095.
        let windowing = Some(Windowing::Fixed { center: 2048.0, width: 4096.0 });
        let found = read_image_as(&path, &Reading { windowing, ..Reading::default() }).unwrap();
        for (found, expected) in found.pixels().zip(VALUES) {
            assert!(
                (found[0] * 4095.0 - f32::from(expected)).abs() < 0.05,
                "{}, expected {expected}",
                found[0] * 4095.0
            );
        }
    }

    #[test]
    fn colors_are_those_of_either_interleaving() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.dcm");
        for code in COLORS {
            let file = File::bytes([12, 10], "RGB", 3, &[0; 360]);
            file.compressed(uids::JPEGLS_NEAR_LOSSLESS, vec![bytes(code)]).save(&path);
            for (x, y, pixel) in read_image(&path).unwrap().enumerate_pixels() {
                let expected = [20 * x + y, 255 - 9 * x - 3 * y, x * y % 97].map(|value| (value % 256) as f32);
                let found = pixel.0.map(|value| value * 255.0);
                let agree = found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-3);
                assert!(agree, "{found:?} at {x}, {y}, expected {expected:?}");
            }
        }
    }

    #[test]
    fn damaged_codes_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.dcm");
        let whole = bytes(STANDARD);
        for length in 0..whole.len() - 6 {
            standard(whole[..length].to_vec()).save(&path);
            assert!(read_image(&path).is_err(), "{length} bytes");
        }
        let file = File::bytes([5, 4], "MONOCHROME2", 1, &[0; 20]).compressed(uids::JPEGLS_LOSSLESS, vec![whole]);
        file.save(&path);
        let error = read_image(&path).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(cause, "it is 4x4x1, expected 4x5x1 (width x height x samples a pixel)");
    }
}
