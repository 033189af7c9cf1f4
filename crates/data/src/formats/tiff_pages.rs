//! The pages of a TIFF file: its chain of images, and a view of the file in which one of them is
//! the first.

use std::collections::HashSet;
use std::io::{self, Read, Seek, SeekFrom};

/// The most pages of a file.
const PAGES_MAX: usize = 1 << 20;
/// The longest text of a page that is read, in bytes.
const TEXT_BYTES_MAX: u64 = 1 << 22;
/// The share by which the sides of a pyramid's levels differ in their ratio.
const ASPECT: f64 = 0.01;

/// A page.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Page {
    /// The place of its tags in the file.
    pub(super) place: u64,
    pub(super) width: u64,
    pub(super) height: u64,
    /// `NewSubfileType`: bit 0 for a smaller copy, bit 2 for a mask of transparency.
    kind: u64,
    is_tiled: bool,
    /// Pixels per unit, across and down, and the unit: 2 for inches, 3 for centimetres.
    resolution: [f64; 2],
    unit: u64,
    /// The description.
    text: String,
}

/// A reader of numbers in the file's order of bytes.
struct Numbers<R> {
    file: R,
    is_big_endian: bool,
    /// True for BigTIFF.
    is_big: bool,
}

impl<R: Read + Seek> Numbers<R> {
    fn number(&mut self, bytes: usize) -> io::Result<u64> {
        let mut content = [0; 8];
        self.file.read_exact(&mut content[..bytes])?;
        if self.is_big_endian {
            content[..bytes].reverse();
        }
        Ok(u64::from_le_bytes(content))
    }

    /// Reads the first number, or both parts of a fraction, of a tag whose value lies at the
    /// current place or where it points to; the text of one that is a text.
    fn value(&mut self, kind: u64, count: u64) -> io::Result<(f64, Option<String>)> {
        let size = match kind {
            1 | 2 | 6 | 7 => 1,
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 | 16 | 17 | 18 => 8,
            _ => return Ok((0.0, None)),
        };
        let inside = if self.is_big { 8 } else { 4 };
        if size * count.max(1) > inside {
            let place = self.number(inside as usize)?;
            self.file.seek(SeekFrom::Start(place))?;
        }
        if kind == 2 {
            let mut text = Vec::new();
            self.file.by_ref().take(count.min(TEXT_BYTES_MAX)).read_to_end(&mut text)?;
            return Ok((0.0, Some(String::from_utf8_lossy(&text).into_owned())));
        }
        if kind == 5 {
            let (above, below) = (self.number(4)?, self.number(4)?);
            return Ok((if below == 0 { 0.0 } else { above as f64 / below as f64 }, None));
        }
        Ok((self.number(size as usize)? as f64, None))
    }
}

/// Reads the tags of all pages of a file.
///
/// # Errors
/// When the file cannot be read, is cut off, or its pages form a circle.
pub(super) fn all_pages(file: impl Read + Seek) -> io::Result<Vec<Page>> {
    let mut file = file;
    let mut order = [0; 2];
    file.rewind()?;
    file.read_exact(&mut order)?;
    let mut numbers = Numbers { file, is_big_endian: &order == b"MM", is_big: false };
    numbers.is_big = numbers.number(2)? == 43;
    let (length, entry) = if numbers.is_big { (8, 20) } else { (4, 12) };
    if numbers.is_big {
        numbers.number(4)?;
    }
    let mut next = numbers.number(length)?;
    let mut seen = HashSet::new();
    let mut pages = Vec::new();
    while next != 0 {
        if !seen.insert(next) || pages.len() >= PAGES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "its pages form a circle"));
        }
        let mut page = Page { place: next, unit: 2, ..Page::default() };
        numbers.file.seek(SeekFrom::Start(next))?;
        let count = numbers.number(if numbers.is_big { 8 } else { 2 })?;
        let start = next + if numbers.is_big { 8 } else { 2 };
        for index in 0..count.min(1 << 16) {
            numbers.file.seek(SeekFrom::Start(start + index * entry))?;
            let (tag, kind) = (numbers.number(2)?, numbers.number(2)?);
            let values = numbers.number(length)?;
            if !matches!(tag, 254 | 256 | 257 | 270 | 282 | 283 | 296 | 322) {
                continue;
            }
            let (value, text) = numbers.value(kind, values)?;
            match tag {
                254 => page.kind = value as u64,
                256 => page.width = value as u64,
                257 => page.height = value as u64,
                270 => page.text = text.unwrap_or_default(),
                282 => page.resolution[0] = value,
                283 => page.resolution[1] = value,
                296 => page.unit = value as u64,
                _ => page.is_tiled = true,
            }
        }
        numbers.file.seek(SeekFrom::Start(start.saturating_add(count.saturating_mul(entry))))?;
        // Some writers leave out the end of the chain.
        next = numbers.number(length).unwrap_or(0);
        pages.push(page);
    }
    Ok(pages)
}

/// Returns the pages that are pictures of their own, and not smaller copies of the first one, its
/// labels, or masks of transparency.
pub(super) fn pictures(pages: Vec<Page>) -> Vec<Page> {
    let Some(first) = pages.first().cloned() else { return pages };
    let is_slide = first.is_tiled && first.text.starts_with("Aperio");
    let is_copy = |page: &Page| {
        let is_smaller = page.width < first.width && page.height < first.height;
        let ratio = (page.width * first.height) as f64 / (page.height * first.width).max(1) as f64;
        is_slide || (first.is_tiled && page.is_tiled && is_smaller && (ratio - 1.0).abs() <= ASPECT)
    };
    let mut index = 0;
    pages
        .into_iter()
        .filter(|page| {
            index += 1;
            index == 1 || !(page.kind & 0b101 != 0 || is_copy(page))
        })
        .collect()
}

impl Page {
    /// Returns the millimetres between rows and between columns, where the page names a length that
    /// was measured: by OME, ImageJ, Aperio, or pixels per centimetre. Pixels per inch are those of
    /// a print.
    pub(super) fn spacing(&self) -> Option<[f64; 2]> {
        let usable = |length: f64| length.is_finite() && length > 0.0 && length < 1e6;
        let both = |rows: f64, columns: f64| (usable(rows) && usable(columns)).then_some([rows, columns]);
        let text = &self.text;
        if text.contains("<OME") {
            let length = |axis: &str| {
                let size: f64 = attribute(text, &format!("PhysicalSize{axis}"))?.parse().ok()?;
                let unit = attribute(text, &format!("PhysicalSize{axis}Unit"));
                Some(size * millimetres(unit.as_deref().unwrap_or("µm"))?)
            };
            return both(length("Y")?, length("X")?);
        }
        let [across, down] = self.resolution;
        if text.starts_with("ImageJ=") {
            let unit = text.lines().find_map(|line| line.strip_prefix("unit="))?;
            let unit = millimetres(unit.trim())?;
            return both(unit / down, unit / across);
        }
        if let Some(size) = text.split('|').find_map(|part| part.trim().strip_prefix("MPP = ")) {
            let size = size.trim().parse::<f64>().ok()? / 1000.0;
            return both(size, size);
        }
        if self.unit == 3 { both(10.0 / down, 10.0 / across) } else { None }
    }
}

/// Returns the value of the first attribute of this name in XML.
fn attribute(text: &str, name: &str) -> Option<String> {
    let start = text.find(&format!(" {name}=\""))? + name.len() + 3;
    Some(text[start..].split('"').next()?.to_owned())
}

/// Returns the millimetres of a unit.
fn millimetres(unit: &str) -> Option<f64> {
    Some(match unit {
        "nm" => 1e-6,
        "µm" | "μm" | "um" | "micron" | "microns" | "\\u00B5m" => 1e-3,
        "mm" => 1.0,
        "cm" => 10.0,
        "m" => 1000.0,
        _ => return None,
    })
}

/// A TIFF file in which another page is the first.
pub(super) struct Paged<R> {
    file: R,
    /// The place of the number of the first page's place, and its bytes there.
    patch: (u64, Vec<u8>),
    place: u64,
}

impl<R: Read + Seek> Paged<R> {
    /// Makes the page whose tags lie at `page` the first one.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn new(mut file: R, page: u64) -> io::Result<Self> {
        let mut head = [0; 4];
        file.rewind()?;
        file.read_exact(&mut head)?;
        file.rewind()?;
        let is_big_endian = head.starts_with(b"MM");
        let is_big = head[2..].contains(&43);
        let mut bytes = page.to_le_bytes().to_vec();
        bytes.truncate(if is_big { 8 } else { 4 });
        if is_big_endian {
            bytes.reverse();
        }
        Ok(Self { file, patch: (if is_big { 8 } else { 4 }, bytes), place: 0 })
    }
}

impl<R: Read + Seek> Read for Paged<R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(target)?;
        let (start, bytes) = &self.patch;
        for (index, byte) in bytes.iter().enumerate() {
            let place = (start + index as u64).checked_sub(self.place);
            if let Some(target) = place.and_then(|place| target[..count].get_mut(usize::try_from(place).ok()?)) {
                *target = *byte;
            }
        }
        self.place += count as u64;
        Ok(count)
    }
}

impl<R: Read + Seek> Seek for Paged<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.place = self.file.seek(to)?;
        Ok(self.place)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::{GrayImage, Luma};
    use tiff::decoder::{Decoder, DecodingResult};
    use tiff::encoder::{TiffEncoder, colortype};

    use super::*;

    /// Writes a file of pages, each of one grey value.
    fn stack(is_big: bool, values: &[u8]) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        let pages = values.iter().map(|value| GrayImage::from_pixel(3 + u32::from(*value), 2, Luma([*value])));
        if is_big {
            let mut encoder = TiffEncoder::new_big(&mut bytes).unwrap();
            pages.for_each(|page| encoder.write_image::<colortype::Gray8>(page.width(), 2, &page).unwrap());
        } else {
            let mut encoder = TiffEncoder::new(&mut bytes).unwrap();
            pages.for_each(|page| encoder.write_image::<colortype::Gray8>(page.width(), 2, &page).unwrap());
        }
        bytes.into_inner()
    }

    #[test]
    fn each_page_can_be_the_first() {
        for is_big in [false, true] {
            let bytes = stack(is_big, &[7, 1, 9]);
            let pages = pictures(all_pages(Cursor::new(&bytes)).unwrap());
            let sizes: Vec<_> = pages.iter().map(|page| [page.width, page.height]).collect();
            assert_eq!(sizes, [[10, 2], [4, 2], [12, 2]], "{is_big}");
            for (page, value) in pages.iter().zip([7, 1, 9]) {
                let file = Paged::new(Cursor::new(&bytes), page.place).unwrap();
                let mut decoder = Decoder::new(file).unwrap();
                assert_eq!(decoder.dimensions().unwrap(), (page.width as u32, 2), "{is_big}");
                let DecodingResult::U8(values) = decoder.read_image().unwrap() else { panic!("not bytes") };
                assert!(values.iter().all(|found| *found == value), "{is_big}: {value}");
            }
        }
    }

    #[test]
    fn a_file_that_is_cut_off_or_goes_in_circles_is_an_error() {
        let bytes = stack(false, &[7, 1]);
        let pages = all_pages(Cursor::new(&bytes)).unwrap();
        for length in 0..pages[0].place as usize + 2 {
            assert!(all_pages(Cursor::new(&bytes[..length])).is_err(), "{length}");
        }
        let mut circle = bytes.clone();
        let entries = u16::from_le_bytes([circle[pages[0].place as usize], circle[pages[0].place as usize + 1]]);
        let next = pages[0].place as usize + 2 + 12 * usize::from(entries);
        circle[next..next + 4].copy_from_slice(&(pages[0].place as u32).to_le_bytes());
        assert!(all_pages(Cursor::new(&circle)).is_err());
    }

    #[test]
    fn lengths_that_were_measured_are_read() {
        let page = |text: &str, resolution, unit| Page { text: text.into(), resolution, unit, ..Page::default() };
        let ome = r#"<OME><Pixels PhysicalSizeX="0.5" PhysicalSizeXUnit="µm" PhysicalSizeY="0.25" SizeX="3">"#;
        for (name, page, expected) in [
            ("OME, with the usual unit", page(ome, [1.0, 1.0], 2), Some([0.00025, 0.0005])),
            ("ImageJ", page("ImageJ=1.53\nimages=3\nunit=micron\n", [2.0, 4.0], 1), Some([0.00025, 0.0005])),
            ("ImageJ without a unit", page("ImageJ=1.53\nimages=3\n", [2.0, 4.0], 1), None),
            ("Aperio", page("Aperio x|AppMag = 20|MPP = 0.5", [0.0, 0.0], 2), Some([0.0005, 0.0005])),
            ("per centimetre", page("", [100.0, 200.0], 3), Some([0.05, 0.1])),
            ("per inch", page("", [72.0, 72.0], 2), None),
            ("nothing", page("", [0.0, 0.0], 3), None),
        ] {
            assert_eq!(page.spacing(), expected, "{name}");
        }
    }
}
