//! The pages of a TIFF file: its chain of images, and a view of the file in which one of them is
//! the first.

use std::collections::HashSet;
use std::io::{self, Read, Seek, SeekFrom};

/// The most smaller copies of a page.
const COPIES_MAX: u64 = 64;
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
    /// The places of the tags of smaller copies (`SubIFDs`).
    pub(super) copies: Vec<u64>,
    /// The compression, the bits of a sample, the samples of a pixel, and the place of the first
    /// strip.
    stored: [u64; 4],
    /// The bytes by which the samples lie behind those that the tags name.
    shift: u64,
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

    /// Reads the places that a tag names whose value lies at the current place.
    fn places(&mut self, kind: u64, count: u64) -> io::Result<Vec<u64>> {
        let (size, inside) = (if matches!(kind, 16 | 18) { 8 } else { 4 }, if self.is_big { 8 } else { 4 });
        if size * count.max(1) > inside {
            let place = self.number(inside as usize)?;
            self.file.seek(SeekFrom::Start(place))?;
        }
        (0..count.min(COPIES_MAX)).map(|_| self.number(size as usize)).collect()
    }

    /// Reads the tags of the page at a place, and the place of the next page.
    fn page(&mut self, place: u64) -> io::Result<(Page, u64)> {
        let (length, entry) = if self.is_big { (8, 20) } else { (4, 12) };
        let mut page = Page { place, unit: 2, stored: [1, 1, 1, 0], ..Page::default() };
        self.file.seek(SeekFrom::Start(place))?;
        let count = self.number(if self.is_big { 8 } else { 2 })?;
        let start = place.saturating_add(if self.is_big { 8 } else { 2 });
        for index in 0..count.min(1 << 16) {
            self.file.seek(SeekFrom::Start(start.saturating_add(index * entry)))?;
            let (tag, kind) = (self.number(2)?, self.number(2)?);
            let values = self.number(length)?;
            if tag == 330 {
                page.copies = self.places(kind, values)?;
                continue;
            }
            if !matches!(tag, 254 | 256..=259 | 270 | 273 | 277 | 282 | 283 | 296 | 322) {
                continue;
            }
            let (value, text) = self.value(kind, values)?;
            match tag {
                254 => page.kind = value as u64,
                256 => page.width = value as u64,
                257 => page.height = value as u64,
                258 => page.stored[1] = value as u64,
                259 => page.stored[0] = value as u64,
                270 => page.text = text.unwrap_or_default(),
                273 => page.stored[3] = value as u64,
                277 => page.stored[2] = value as u64,
                282 => page.resolution[0] = value,
                283 => page.resolution[1] = value,
                296 => page.unit = value as u64,
                _ => page.is_tiled = true,
            }
        }
        self.file.seek(SeekFrom::Start(start.saturating_add(count.saturating_mul(entry))))?;
        // Some writers leave out the end of the chain.
        let next = self.number(length).unwrap_or(0);
        Ok((page, next))
    }
}

/// Opens a file to read the numbers of its tags, and returns the place of the first page.
fn begin<R: Read + Seek>(mut file: R) -> io::Result<(Numbers<R>, u64)> {
    let mut order = [0; 2];
    file.rewind()?;
    file.read_exact(&mut order)?;
    let mut numbers = Numbers { file, is_big_endian: &order == b"MM", is_big: false };
    numbers.is_big = numbers.number(2)? == 43;
    if numbers.is_big {
        numbers.number(4)?;
    }
    let first = numbers.number(if numbers.is_big { 8 } else { 4 })?;
    Ok((numbers, first))
}

/// Reads the tags of all pages of a file.
///
/// # Errors
/// When the file cannot be read, is cut off, or its pages form a circle.
pub(super) fn all_pages(file: impl Read + Seek) -> io::Result<Vec<Page>> {
    let (mut numbers, mut next) = begin(file)?;
    let mut seen = HashSet::new();
    let mut pages = Vec::new();
    while next != 0 {
        if !seen.insert(next) || pages.len() >= PAGES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "its pages form a circle"));
        }
        let page;
        (page, next) = numbers.page(next)?;
        pages.push(page);
    }
    Ok(pages)
}

/// Reads the tags at some places of a file.
///
/// # Errors
/// When the file cannot be read, or is cut off.
fn pages_at(file: impl Read + Seek, places: &[u64]) -> io::Result<Vec<Page>> {
    let (mut numbers, _) = begin(file)?;
    places.iter().map(|place| Ok(numbers.page(*place)?.0)).collect()
}

/// Returns the pages that are pictures of their own, and not smaller copies of the first one, its
/// labels, or masks of transparency.
pub(super) fn pictures(pages: Vec<Page>) -> Vec<Page> {
    let Some(first) = pages.first().cloned() else { return pages };
    if let ([page], Some(count)) = (pages.as_slice(), first.images_behind()) {
        return (0..count).map(|index| Page { shift: index * page.bytes(), ..page.clone() }).collect();
    }
    let is_slide = first.is_tiled && first.text.starts_with("Aperio");
    let mut index = 0;
    pages
        .into_iter()
        .filter(|page| {
            index += 1;
            index == 1 || !(page.kind & 0b101 != 0 || is_slide || page.is_copy_of(&first))
        })
        .collect()
}

/// Returns the levels of a page, the full size first and each smaller than the one before: the page
/// itself and the copies that it names, as OME-TIFF does, or that follow the first page in tiles,
/// as Aperio's do.
///
/// # Errors
/// When the file cannot be read, or is cut off.
pub(super) fn levels(file: impl Read + Seek, pages: &[Page], page: &Page) -> io::Result<Vec<Page>> {
    let mut copies = pages_at(file, &page.copies)?;
    if pages.first() == Some(page) {
        copies.extend(pages.iter().filter(|copy| copy.kind & 0b100 == 0).cloned());
    }
    copies.retain(|copy| copy.is_copy_of(page));
    copies.sort_by_key(|copy| std::cmp::Reverse(copy.width));
    copies.dedup_by_key(|copy| copy.width);
    Ok(std::iter::once(page.clone()).chain(copies).collect())
}

impl Page {
    /// Returns whether the page is the other one in a smaller size, both in tiles.
    fn is_copy_of(&self, other: &Self) -> bool {
        let is_smaller = self.width < other.width && self.height < other.height;
        let across = (self.width * other.height) as f64;
        let down = (self.height * other.width) as f64;
        // Sides are rounded to whole pixels, which is much of a small one.
        let rounding = other.width.max(other.height) as f64;
        let is_alike = (across - down).abs() <= (ASPECT * down).max(rounding);
        self.is_tiled && other.is_tiled && is_smaller && is_alike
    }

    /// Returns the bytes of the samples, where they are not compressed.
    fn bytes(&self) -> u64 {
        let [_, bits, samples, _] = self.stored;
        (self.width.saturating_mul(bits).saturating_mul(samples)).div_ceil(8).saturating_mul(self.height)
    }

    /// Returns the number of images whose samples lie one behind the other, of which only the first
    /// has tags: ImageJ writes stacks of more than 4 GB so.
    fn images_behind(&self) -> Option<u64> {
        let is_plain = self.text.starts_with("ImageJ=") && self.stored[0] == 1 && !self.is_tiled && self.stored[3] > 0;
        let count = self.text.lines().find_map(|line| line.strip_prefix("images="))?.trim().parse().ok()?;
        (is_plain && (2..=PAGES_MAX as u64).contains(&count) && self.bytes() > 0).then_some(count)
    }

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
    /// The samples of the page that lie elsewhere than its tags say: where the tags say that they
    /// begin and end, and how far behind they are.
    moved: (u64, u64, u64),
    /// The place of the number of the first page's place, and its bytes there.
    patch: (u64, Vec<u8>),
    place: u64,
}

impl<R: Read + Seek> Paged<R> {
    /// Makes a page the first one.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn new(mut file: R, page: &Page) -> io::Result<Self> {
        let mut head = [0; 4];
        file.rewind()?;
        file.read_exact(&mut head)?;
        file.rewind()?;
        let is_big_endian = head.starts_with(b"MM");
        let is_big = head[2..].contains(&43);
        let mut bytes = page.place.to_le_bytes().to_vec();
        bytes.truncate(if is_big { 8 } else { 4 });
        if is_big_endian {
            bytes.reverse();
        }
        let start = page.stored[3];
        let moved = if page.shift == 0 { (0, 0, 0) } else { (start, start.saturating_add(page.bytes()), page.shift) };
        Ok(Self { file, moved, patch: (if is_big { 8 } else { 4 }, bytes), place: 0 })
    }
}

impl<R: Read + Seek> Read for Paged<R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let (start, end, shift) = self.moved;
        let count = if end == 0 {
            self.file.read(target)?
        } else {
            // Up to the next border between moved samples and the rest.
            let is_moved = (start..end).contains(&self.place);
            let border = if self.place < start { start } else { end };
            let length = if self.place < border {
                (border - self.place).min(target.len() as u64) as usize
            } else {
                target.len()
            };
            self.file.seek(SeekFrom::Start(if is_moved { self.place.saturating_add(shift) } else { self.place }))?;
            self.file.read(&mut target[..length])?
        };
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
                let file = Paged::new(Cursor::new(&bytes), page).unwrap();
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
    fn images_behind_the_only_tags_are_pages() {
        let mut bytes = Vec::new();
        let text = b"ImageJ=1.54\nimages=3\n\0";
        bytes.extend(b"MM\0*\0\0\0\x08\0\x09");
        let place = 8 + 2 + 12 * 9 + 4;
        let tags = [(256, 4, 1, 3), (257, 4, 1, 2), (258, 3, 1, 16 << 16), (259, 3, 1, 1 << 16), (262, 3, 1, 1 << 16)];
        let more = [(270, 2, text.len(), place), (273, 4, 1, place + text.len()), (278, 4, 1, 2), (279, 4, 1, 12)];
        for (tag, kind, count, value) in tags.into_iter().chain(more) {
            bytes.extend((tag as u16).to_be_bytes());
            bytes.extend((kind as u16).to_be_bytes());
            bytes.extend((count as u32).to_be_bytes());
            bytes.extend((value as u32).to_be_bytes());
        }
        bytes.extend([0; 4]);
        bytes.extend(text);
        (0..18_u16).for_each(|value| bytes.extend(value.to_be_bytes()));
        let pages = pictures(all_pages(Cursor::new(&bytes)).unwrap());
        assert_eq!(pages.len(), 3);
        for (index, page) in pages.iter().enumerate() {
            let mut decoder = Decoder::new(Paged::new(Cursor::new(&bytes), page).unwrap()).unwrap();
            let DecodingResult::U16(values) = decoder.read_image().unwrap() else { panic!("not words") };
            assert_eq!(values, (6 * index as u16..6 * index as u16 + 6).collect::<Vec<_>>(), "{index}");
        }
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
