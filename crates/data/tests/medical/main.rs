//! Medical images: their values, their order, and what is refused. All files are made here; the
//! expected values are those of pydicom 3.0.2, nibabel 5.4.2 and NumPy, or of the formulas of the
//! standards.

#![expect(clippy::unwrap_used, reason = "a claim that cannot be set up has failed")]

mod dicom;
mod dicom_file;
mod jpeg_ls;
mod masks;
mod nifti;
mod nifti_file;
mod pages;
mod pyramids;
