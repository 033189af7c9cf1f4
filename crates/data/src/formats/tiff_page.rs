//! A page of a TIFF file that holds several, or a level of a pyramid.

use std::fs::File;
use std::io::BufReader;

use seg_contract::{Level, Reading};
use tiff::decoder::Decoder;
use tiff::tags::Tag;

use super::error::ReadError;
use super::lazy::LazyImage;
use super::limits::check_size;
use super::picture_path::PicturePath;
use super::reader::{ImageInfo, ImageReader};
use super::tiff_chunks::TIFF;
use super::tiff_decode::decode;
use super::tiff_pages::{Page, Paged, all_pages, levels, pictures};
use super::tiff_rows::TiffRows;
use super::whole::upright;

/// The number of pixels from which a file is read in bands.
pub(super) const BANDS_PIXELS_MIN: u64 = 1 << 24;

/// One of several pages of a file, or one of its levels.
#[derive(Clone)]
pub(super) struct TiffPage {
    path: PicturePath,
    page: Page,
    /// The millimetres between rows and between columns, as they are stored.
    spacing: Option<[f64; 2]>,
    /// The number of the level, in a pyramid.
    level: Option<u32>,
}

impl TiffPage {
    /// Opens the page that a path and a reading name; `None` where they name the first one in full
    /// size.
    pub(super) fn named(path: &PicturePath, reading: &Reading) -> Result<Option<Self>, ReadError> {
        if path.number.is_none() && reading.level() == Level::Number(0) {
            return Ok(None);
        }
        let levels = Self::levels(path)?;
        let found = match reading.level() {
            Level::Number(number) => levels.get(number as usize),
            Level::Micrometres(size) => levels
                .iter()
                .filter_map(|level| Some((level, (level.micrometres()? / size).ln().abs())))
                .filter(|(_, ratio)| *ratio <= Level::TOLERANCE.ln_1p())
                .min_by(|(_, one), (_, other)| one.total_cmp(other))
                .map(|(level, _)| level),
        };
        match found {
            Some(level) => Ok(Some(level.clone())),
            None => {
                let listed: Vec<_> = levels.iter().map(Self::in_words).collect();
                let (path, level) = (path.path.clone(), reading.level());
                Err(ReadError::Level { path, level, levels: listed.join(", ") })
            }
        }
    }

    /// Lists the levels of the page that a path names.
    pub(super) fn levels(path: &PicturePath) -> Result<Vec<Self>, ReadError> {
        let open = || File::open(&path.file).map_err(|source| ReadError::File { path: path.path.clone(), source });
        let refuse =
            |source: std::io::Error| ReadError::Decode { path: path.path.clone(), format: TIFF, source: source.into() };
        let all = all_pages(BufReader::new(open()?)).map_err(refuse)?;
        let pages = pictures(all.clone());
        let Some(page) = pages.get(path.index()) else {
            return Err(ReadError::Number { path: path.path.clone(), format: TIFF, pictures: pages.len() });
        };
        let levels = levels(BufReader::new(open()?), &all, page).map_err(refuse)?;
        let is_pyramid = levels.len() > 1;
        let full = page.spacing();
        let sized = |(number, level): (usize, Page)| {
            let share = |full: u64, own: u64| full as f64 / own.max(1) as f64;
            let smaller = [share(page.height, level.height), share(page.width, level.width)];
            let spacing = full.map(|[rows, columns]| [rows * smaller[0], columns * smaller[1]]);
            Self { path: path.clone(), page: level, spacing, level: is_pyramid.then_some(number as u32) }
        };
        Ok(levels.into_iter().enumerate().map(sized).collect())
    }

    /// Returns the size of a pixel in micrometres: the mean of its height and width.
    fn micrometres(&self) -> Option<f64> {
        self.spacing.map(|[rows, columns]| 500.0 * (rows + columns))
    }

    /// Describes the level.
    fn in_words(&self) -> String {
        let (number, Page { width, height, .. }) = (self.level.unwrap_or(0), &self.page);
        let size = self.micrometres().map_or_else(String::new, |size| format!(", {size:.3} µm a pixel"));
        format!("{number} ({width}x{height}{size})")
    }

    /// Opens the file, in which this page is the first.
    pub(super) fn file(&self) -> Result<BufReader<Paged<File>>, ReadError> {
        let failed = |source| ReadError::File { path: self.path.path.clone(), source };
        let file = File::open(&self.path.file).map_err(failed)?;
        Ok(BufReader::with_capacity(1 << 16, Paged::new(file, &self.page).map_err(failed)?))
    }

    /// Returns the reader of the page: in bands if it is large.
    pub(super) fn reader(self) -> Result<Box<dyn ImageReader>, ReadError> {
        let path = self.path.path.clone();
        let rows = match TiffRows::open(&path, self.file()?) {
            Some(rows) => Some(rows),
            None => TiffRows::open_kind(&path, self.file()?)?,
        };
        let refuse =
            |source: tiff::TiffError| ReadError::Decode { path: path.clone(), format: TIFF, source: source.into() };
        let mut decoder = Decoder::new(self.file()?).map_err(refuse)?;
        let (width, height) = decoder.dimensions().map_err(refuse)?;
        let orientation = decoder.find_tag_unsigned::<u8>(Tag::Orientation).ok().flatten().unwrap_or(1);
        let is_turned = orientation >= 5;
        let (spacing, level) = (self.spacing.map(|spacing| upright(spacing, orientation)), self.level);
        if let Some(mut rows) = rows
            && orientation == 1
            && u64::from(width) * u64::from(height) >= BANDS_PIXELS_MIN
        {
            rows.check_chunk()?;
            rows.set_spacing(spacing);
            rows.set_level(level);
            return Ok(Box::new(rows));
        }
        check_size(&path, width, height)?;
        let (width, height) = if is_turned { (height, width) } else { (width, height) };
        let info = ImageInfo { orientation, spacing, level, ..ImageInfo::new(width, height) };
        Ok(Box::new(LazyImage::new(info, move || Ok(decode(&self.path.path, || self.file())?.into()))))
    }
}
