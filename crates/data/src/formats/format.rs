//! The interface of an image format.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use image::DynamicImage;

use seg_contract::Reading;

use super::error::ReadError;
use super::picture_path::PicturePath;
use super::reader::ImageReader;

/// A format of image files: one file in this folder and one line in `FORMATS`, or a program's own
/// one that [`add_format`](super::add_format) adds.
///
/// Paths are for messages, unless a function says that it opens the file. A function that gets a
/// file or its content and panics costs that image, and no other. [`name`](Self::name),
/// [`extensions`](Self::extensions) and [`keeps_values`](Self::keeps_values) depend on no file and
/// must not panic.
pub trait Format: Sync {
    /// Returns the name in messages and help.
    fn name(&self) -> &'static str;

    /// Returns the extensions of its files in lower case, without the dot.
    fn extensions(&self) -> &'static [&'static str];

    /// Returns whether a file that begins with `head` is of this format.
    fn sniff(&self, head: &[u8]) -> bool;

    /// Returns whether every value is read as it was saved. Masks of class indices or colours are
    /// refused in formats whose compression changes values.
    fn keeps_values(&self) -> bool {
        true
    }

    /// Reads width and height as they are stored, before the image is turned upright, from the head
    /// of a file that is at its start.
    ///
    /// # Errors
    /// When the head is damaged or cut off. The rest of the file is not read.
    fn stored_size(&self, path: &Path, file: BufReader<File>) -> Result<(u32, u32), ReadError>;

    /// Reads the properties of the image from a file's content.
    ///
    /// # Errors
    /// When the content is damaged as far as its head shows, or the image is too large.
    fn header(&self, path: &Path, bytes: &[u8]) -> Result<Header, ReadError>;

    /// Decodes a file's content in the channels and bits it was stored with, and turns it upright.
    ///
    /// # Errors
    /// When the content is damaged, cut off or too large, or holds values without a meaning.
    fn decode(&self, path: &Path, bytes: &[u8]) -> Result<DynamicImage, ReadError>;

    /// Decodes a file's content as a mask of class indices: as [`decode`](Self::decode) does, but
    /// with a palette's indices in place of its colours, and without a scaling of grey values that
    /// the format does not define.
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    fn decode_indices(&self, path: &Path, bytes: &[u8]) -> Result<DynamicImage, ReadError> {
        self.decode(path, bytes)
    }

    /// Returns whether a file of this format is an image file whatever its name, because such files
    /// often have no extension.
    fn is_known_by_content(&self) -> bool {
        false
    }

    /// Lists the pictures of a file by their numbers, counted from 1, in the order in which they
    /// are read: pages, frames or slices. A file of one picture has number 1 alone.
    ///
    /// # Errors
    /// When the file cannot be read, or is damaged as far as its head shows.
    fn pictures(&self, _path: &Path, _reading: &Reading) -> Result<Vec<u32>, ReadError> {
        Ok(vec![1])
    }

    /// Opens a picture of a file; `None` where the whole content of the file is to be decoded.
    ///
    /// A path that names no number stands for the first picture.
    ///
    /// # Errors
    /// When the file cannot be read, is damaged as far as its head shows, or has no such picture.
    fn open_picture(&self, _path: &PicturePath, _reading: &Reading) -> Result<Option<Box<dyn ImageReader>>, ReadError> {
        Ok(None)
    }

    /// Reads width and height of a picture as [`stored_size`](Self::stored_size) does, from a file
    /// that is at its start.
    ///
    /// # Errors
    /// When the head is damaged or cut off, or the file has no such picture.
    fn picture_size(
        &self,
        picture: &PicturePath,
        file: BufReader<File>,
        reading: &Reading,
    ) -> Result<(u32, u32), ReadError> {
        if picture.number.is_some()
            && let Some(reader) = self.open_picture(picture, reading)?
        {
            return Ok((reader.info().width, reader.info().height));
        }
        self.stored_size(&picture.path, file)
    }

    /// Decodes a picture of a file as a mask of class indices, as
    /// [`decode_indices`](Self::decode_indices) does; `None` where the whole content of the file is
    /// to be decoded.
    ///
    /// # Errors
    /// When the file cannot be read, is damaged, or has no such picture.
    fn open_labels(&self, _path: &PicturePath, _reading: &Reading) -> Result<Option<DynamicImage>, ReadError> {
        Ok(None)
    }

    /// Opens the only picture of a file's content that is in memory, and reads no file for it;
    /// `None` where the content is to be decoded as it is. The path is a name for messages.
    ///
    /// # Errors
    /// When the content is damaged as far as its head shows, or holds several pictures.
    fn open_content(
        &self,
        _name: &Path,
        _content: &[u8],
        _reading: &Reading,
    ) -> Result<Option<Box<dyn ImageReader>>, ReadError> {
        Ok(None)
    }

    /// Returns whether a file of this format may be a pyramid, which holds an image in several
    /// sizes. The reading that [`open_picture`](Self::open_picture) gets may then name another
    /// level than the full size.
    fn has_levels(&self) -> bool {
        false
    }

    /// Counts the levels of a picture: the sizes in which a pyramid holds it, the full one first.
    ///
    /// # Errors
    /// When the file cannot be read, or has no such picture.
    fn levels(&self, _path: &PicturePath) -> Result<usize, ReadError> {
        Ok(1)
    }

    /// Returns the millimetres between rows and between columns of the first picture in a file's
    /// content, where it names them.
    fn spacing(&self, _bytes: &[u8]) -> Option<[f64; 2]> {
        None
    }

    /// Opens a file to read it in bands of rows; `None` for one that is to be decoded whole.
    ///
    /// # Errors
    /// When the file cannot be read, or a band of it is too large.
    fn open_bands(&self, _path: &Path) -> Result<Option<Box<dyn ImageReader>>, ReadError> {
        Ok(None)
    }
}

/// The properties of an image that are known before it is decoded.
pub struct Header {
    /// Width in pixels, upright.
    pub width: u32,
    /// Height in pixels, upright.
    pub height: u32,
    /// The camera's orientation as EXIF counts it, 1 to 8.
    pub orientation: u8,
}
