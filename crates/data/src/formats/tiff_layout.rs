//! The tags of a TIFF file's first image that say how its pixels are stored.

use std::io::{Read, Seek};

use tiff::decoder::{ChunkType, Decoder};
use tiff::tags::{ByteOrder, Tag};
use tiff::{TiffError, TiffResult};

use super::tiff_codecs::Codec;
use super::tiff_fax::FaxCode;

/// The numbers of JPEG among the compressions: the usual one, and the old style, of which whole
/// files are read.
pub(super) const JPEG: u16 = 7;
pub(super) const OLD_JPEG: u16 = 6;
/// The numbers of JPEG 2000: Aperio's two, the first with colour differences, and that of TIFF.
const JPEG_2000_YCBCR: u16 = 33003;
const JPEG_2000_RGB: u16 = 33005;
const JPEG_2000: u16 = 34712;
const LZMA: u16 = 34925;
const PNG: u16 = 34933;
/// The numbers of CCITT codes among the compressions: modified Huffman, group 3 and group 4.
const HUFFMAN: u16 = 2;
const FAX3: u16 = 3;
const FAX4: u16 = 4;
/// The number of the tag that says how group 3 is used.
const T4_OPTIONS: u16 = 292;
/// The interpretations of samples as colours.
pub(super) const WHITE_IS_ZERO: u16 = 0;
pub(super) const BLACK_IS_ZERO: u16 = 1;
pub(super) const RGB: u16 = 2;
pub(super) const PALETTE: u16 = 3;
pub(super) const CMYK: u16 = 5;
pub(super) const YCBCR: u16 = 6;
pub(super) const CIE_LAB: u16 = 8;
pub(super) const ICC_LAB: u16 = 9;
/// The kinds of numbers.
pub(super) const UNSIGNED: u16 = 1;
pub(super) const SIGNED: u16 = 2;
pub(super) const FLOAT: u16 = 3;

/// The way in which the first image is stored.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) width: u32,
    pub(super) height: u32,
    /// The bits of a sample.
    pub(super) bits: u16,
    /// The samples of a pixel.
    pub(super) samples: u16,
    /// The kind of number of a sample.
    pub(super) format: u16,
    pub(super) interpretation: u16,
    pub(super) compression: u16,
    /// True if rows in group 3 may be coded by the row above.
    is_two_dimensional: bool,
    pub(super) predictor: u16,
    /// True if the samples of a pixel lie in different strips or tiles.
    pub(super) is_planar: bool,
    /// True if the bits of each byte are in reverse order.
    pub(super) is_reversed: bool,
    pub(super) is_big_endian: bool,
    pub(super) is_tiled: bool,
    /// Rows and columns of a strip or a tile.
    pub(super) chunk: [u32; 2],
    /// The places of strips or tiles, and their bytes.
    pub(super) places: Vec<u64>,
    pub(super) counts: Vec<u64>,
    pub(super) jpeg_tables: Vec<u8>,
    /// Red, then green, then blue of each entry of the palette.
    pub(super) palette: Vec<u16>,
    /// The pixels across and down that share their chroma.
    pub(super) subsampling: [u16; 2],
    pub(super) orientation: u8,
    /// True if samples are taken as they are stored: neither scaled to 8 or 16 bits nor replaced by
    /// the colours of a palette.
    pub(super) keeps_samples: bool,
}

/// Rows of samples as the decoder knows them.
pub(super) struct Coding {
    /// The samples of a row of a strip or a tile, or its bytes if samples are no whole bytes.
    pub(super) row: u32,
    pub(super) bits: u16,
    pub(super) samples: u16,
    pub(super) format: u16,
    pub(super) predictor: u16,
}

impl Layout {
    /// Reads the tags of the first image.
    ///
    /// # Errors
    /// When they are damaged, or of a kind for which the decoder has no name.
    pub(super) fn read<R: Read + Seek>(decoder: &mut Decoder<R>) -> TiffResult<Self> {
        let (width, height) = decoder.dimensions()?;
        let (columns, rows) = decoder.chunk_dimensions();
        let is_tiled = decoder.get_chunk_type() == ChunkType::Tile;
        let mut number = |tag, default: u16| TiffResult::Ok(decoder.find_tag_unsigned::<u16>(tag)?.unwrap_or(default));
        let compression = number(Tag::Compression, 1)?;
        let interpretation = match number(Tag::PhotometricInterpretation, BLACK_IS_ZERO)? {
            // Whatever the file says, as Aperio's own reader does.
            RGB if compression == JPEG_2000_YCBCR => YCBCR,
            interpretation => interpretation,
        };
        let is_two_dimensional = number(Tag::Unknown(T4_OPTIONS), 0)? & 1 == 1;
        let samples = number(Tag::SamplesPerPixel, 1)?;
        let predictor = number(Tag::Predictor, 1)?;
        let is_planar = number(Tag::PlanarConfiguration, 1)? == 2 && samples > 1;
        let is_reversed = number(Tag::FillOrder, 1)? == 2;
        let orientation = u8::try_from(number(Tag::Orientation, 1)?).unwrap_or(1);
        let mut numbers = |tag| TiffResult::Ok(decoder.find_tag_unsigned_vec::<u16>(tag)?.unwrap_or_default());
        let bits = numbers(Tag::BitsPerSample)?.first().copied().unwrap_or(1);
        let format = numbers(Tag::SampleFormat)?.first().copied().unwrap_or(UNSIGNED);
        let subsampling = numbers(Tag::ChromaSubsampling)?.as_slice().try_into().unwrap_or([2, 2]);
        let palette = numbers(Tag::ColorMap)?;
        let [places, counts] =
            if is_tiled { [Tag::TileOffsets, Tag::TileByteCounts] } else { [Tag::StripOffsets, Tag::StripByteCounts] }
                .map(|tag| decoder.find_tag_unsigned_vec::<u64>(tag));
        let jpeg_tables = match decoder.find_tag(Tag::JPEGTables)? {
            Some(tables) if compression == JPEG => tables.into_u8_vec()?,
            _ => Vec::new(),
        };
        Ok(Self {
            width,
            height,
            bits,
            samples,
            format,
            interpretation,
            compression,
            is_two_dimensional,
            predictor,
            is_planar,
            is_reversed,
            is_big_endian: matches!(decoder.byte_order(), ByteOrder::BigEndian),
            is_tiled,
            // A file may claim more rows than it has.
            chunk: [if is_tiled { rows } else { rows.clamp(1, height) }, columns],
            places: places?.unwrap_or_default(),
            counts: counts?.unwrap_or_default(),
            jpeg_tables,
            palette,
            subsampling,
            orientation,
            keeps_samples: false,
        })
    }

    /// Returns the name of the first thing because of which the image is not read here.
    pub(super) fn unread(&self) -> Option<String> {
        let compression = match self.compression {
            1..=5 | 7 | 8 | 32773 | 32946 | 50000 | 50001 => None,
            JPEG_2000_YCBCR | JPEG_2000_RGB | JPEG_2000 | LZMA | PNG => None,
            OLD_JPEG if self.has_whole_jpeg() => None,
            OLD_JPEG => Some("old-style JPEG compression without whole JPEG files"),
            34676 | 34677 => Some("SGI LogLuv compression"),
            34887 => Some("LERC compression"),
            34934 => Some("JPEG XR compression"),
            50002 | 52546 => Some("JPEG XL compression"),
            _ => Some("an unknown compression"),
        };
        if let Some(name) = compression {
            return Some(format!("{name} ({})", self.compression));
        }
        let colors = match self.interpretation {
            WHITE_IS_ZERO | BLACK_IS_ZERO | RGB | PALETTE | YCBCR => None,
            CMYK if self.samples >= 4 && !self.is_planar && self.is_bytes_or_words() => None,
            CIE_LAB | ICC_LAB if self.samples >= 3 && self.is_bytes_or_words() => None,
            4 => Some("a mask of transparency"),
            CMYK => Some("CMYK of this kind"),
            8..=10 => Some("the colour space Lab of this kind"),
            32803 | 34892 => Some("raw data of a camera"),
            32844 | 32845 => Some("the colour space LogLuv"),
            _ => Some("an unknown colour space"),
        };
        if let Some(name) = colors {
            return Some(format!("{name} ({})", self.interpretation));
        }
        let (bits, is_bytes) = (self.bits, matches!(self.bits, 8 | 16 | 32 | 64));
        let is_known = match self.format {
            UNSIGNED => matches!(bits, 1..=16 | 32),
            SIGNED => matches!(bits, 8 | 16 | 32),
            FLOAT => matches!(bits, 16 | 32 | 64),
            _ => false,
        };
        if !is_known {
            let kind = match self.format {
                UNSIGNED => "unsigned integers",
                SIGNED => "signed integers",
                FLOAT => "floating-point numbers",
                _ => "numbers of an unknown kind",
            };
            return Some(format!("values of {bits} bits that are {kind}"));
        }
        let colors = if self.has_three_colors() { 3 } else { 1 };
        if self.samples < colors {
            return Some(format!("{} values for a pixel of {colors} colours", self.samples));
        }
        if self.interpretation == PALETTE {
            let is_indexed = self.format == UNSIGNED && bits <= 8;
            if !is_indexed || self.palette.len() < 3 << bits {
                return Some(format!("a palette of {} colours for {bits} bits", self.palette.len() / 3));
            }
        }
        if self.interpretation == YCBCR && (bits != 8 || self.format != UNSIGNED) {
            return Some(format!("YCbCr of {bits} bits"));
        }
        let is_jpeg = matches!(self.compression, JPEG | OLD_JPEG);
        let is_coded = is_jpeg || self.codec() == Some(Codec::Jpeg2000);
        if self.interpretation == YCBCR && !is_coded && self.subsampling != [1, 1] {
            return Some("YCbCr with subsampled colours".into());
        }
        // Lossless JPEG has grey values of 16 bits as well.
        if is_jpeg && !((bits == 8 || (bits == 16 && self.samples == 1)) && self.format == UNSIGNED) {
            return Some(format!("JPEG compression of {bits} bits"));
        }
        if matches!(self.codec(), Some(Codec::Jpeg2000 | Codec::Png)) && !self.is_bytes_or_words() {
            return Some(format!("compression {} of {bits} bits", self.compression));
        }
        if self.codec() == Some(Codec::Lzma) && self.predictor > 2 {
            return Some(format!("LZMA compression with the predictor {}", self.predictor));
        }
        if self.is_fax() && (bits != 1 || self.samples != 1) {
            return Some(format!("CCITT compression ({}) of {} values of {bits} bits", self.compression, self.samples));
        }
        (self.predictor != 1 && !is_bytes).then(|| format!("a predictor for {bits} bits"))
    }

    /// Returns whether the image crate or the reader of plain rows reads the image. They would read
    /// reversed bits as they are, and invent what is missing of damaged JPEG.
    pub(super) fn is_plain(&self) -> bool {
        let Self { bits, samples, .. } = *self;
        let is_known = match (self.format, self.interpretation) {
            (UNSIGNED, WHITE_IS_ZERO | BLACK_IS_ZERO) => matches!(bits, 1 | 8 | 16) && samples == 1,
            (UNSIGNED, RGB) => matches!(bits, 8 | 16) && samples >= 3,
            (UNSIGNED, CMYK) => true,
            (FLOAT, WHITE_IS_ZERO | BLACK_IS_ZERO) => bits == 32 && samples == 1,
            (FLOAT, RGB) => bits == 32 && samples >= 3 && !self.is_planar,
            _ => false,
        };
        // The image crate fails on planes in tiles.
        let is_in_plane_tiles = self.is_planar && self.is_tiled;
        is_known && is_plain_compression(self.compression) && !self.is_reversed && !is_in_plane_tiles
    }

    /// Returns whether samples are unsigned integers of 8 or 16 bits.
    fn is_bytes_or_words(&self) -> bool {
        self.format == UNSIGNED && matches!(self.bits, 8 | 16)
    }

    /// Returns whether each strip or tile may be a JPEG file of its own, as newer writers of the
    /// old style have it.
    fn has_whole_jpeg(&self) -> bool {
        self.bits == 8 && !self.is_planar && self.places.len() == 1
    }

    /// Returns the compression that is decoded here, and not by the TIFF decoder.
    pub(super) fn codec(&self) -> Option<Codec> {
        match self.compression {
            JPEG_2000_YCBCR | JPEG_2000_RGB | JPEG_2000 => Some(Codec::Jpeg2000),
            LZMA => Some(Codec::Lzma),
            PNG => Some(Codec::Png),
            OLD_JPEG => Some(Codec::Jpeg),
            // The decoder takes four components for colours of its own.
            JPEG if self.interpretation == CMYK || self.bits == 16 => Some(Codec::Jpeg),
            _ => None,
        }
    }

    /// Returns the code of a strip that the decoder does not know.
    pub(super) fn fax_code(&self) -> Option<FaxCode> {
        match self.compression {
            HUFFMAN => Some(FaxCode::Huffman),
            FAX3 => Some(FaxCode::Group3 { is_two_dimensional: self.is_two_dimensional }),
            _ => None,
        }
    }

    /// Returns whether the strips are in a CCITT code.
    fn is_fax(&self) -> bool {
        self.compression == FAX4 || self.fax_code().is_some()
    }

    /// Returns whether the samples of a pixel are three colours, and not one value.
    pub(super) fn has_three_colors(&self) -> bool {
        matches!(self.interpretation, RGB | YCBCR | CMYK | CIE_LAB | ICC_LAB)
    }

    /// Returns the samples of a pixel that lie in one strip or tile.
    pub(super) fn samples_together(&self) -> u16 {
        if self.is_planar { 1 } else { self.samples }
    }

    /// Returns whether the decoder gives samples, and not the bytes in which they are packed.
    pub(super) fn is_in_samples(&self) -> bool {
        matches!(self.bits, 8 | 16 | 32 | 64)
    }

    /// Returns the bytes of a row of a strip or a tile.
    pub(super) fn row_bytes(&self) -> u64 {
        (u64::from(self.chunk[1]) * u64::from(self.samples_together()) * u64::from(self.bits)).div_ceil(8)
    }

    /// Returns the description of rows for the decoder.
    pub(super) fn coding(&self) -> Coding {
        let Self { bits, samples, format, predictor, .. } = *self;
        if self.is_in_samples() {
            Coding { row: self.chunk[1], bits, samples, format, predictor }
        } else if self.is_fax() {
            Coding { row: self.chunk[1], bits: 1, samples: 1, format: UNSIGNED, predictor: 1 }
        } else {
            let samples = if self.is_planar { samples } else { 1 };
            // The bytes of a strip or a tile are limited.
            let row = u32::try_from(self.row_bytes()).unwrap_or(u32::MAX);
            Coding { row, bits: 8, samples, format: UNSIGNED, predictor: 1 }
        }
    }

    /// Checks that there is a place for each strip or tile.
    ///
    /// # Errors
    /// When there are fewer.
    pub(super) fn check_chunks(&self) -> TiffResult<()> {
        let [rows, columns] = self.chunk;
        let planes = if self.is_planar { u64::from(self.samples) } else { 1 };
        let count = u64::from(self.height.div_ceil(rows)) * u64::from(self.width.div_ceil(columns)) * planes;
        if rows == 0 || columns == 0 || self.places.len() as u64 != count || self.counts.len() as u64 != count {
            return Err(TiffError::FormatError(tiff::TiffFormatError::InconsistentSizesEncountered));
        }
        Ok(())
    }
}

/// Returns whether the decoder decompresses this, and reports all damage.
pub(super) fn is_plain_compression(compression: u16) -> bool {
    matches!(compression, 1 | 4 | 5 | 8 | 32773 | 32946)
}
