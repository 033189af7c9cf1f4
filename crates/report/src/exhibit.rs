//! An image of a report, with its true and its predicted mask, and with its errors.

use image::{GrayImage, Rgb32FImage, RgbImage};
use maud::{Markup, html};
use seg_contract::Class;
use seg_data::{OverlayError, overlay};

use crate::picture::{FOUND, MISSED, MIXED_UP, TOO_MUCH, address, error_map, shrink};
use crate::table::color;

/// An image in four pictures, at a size for a report.
#[derive(Clone, Debug, PartialEq)]
pub struct Exhibit {
    /// The image's name.
    pub name: String,
    /// The caption.
    pub caption: String,
    /// The image.
    pub image: RgbImage,
    /// The image with its true mask.
    pub truth: RgbImage,
    /// The image with the predicted mask.
    pub prediction: RgbImage,
    /// The errors: the pixels in which the two differ.
    pub errors: RgbImage,
    /// The names of the two masks and of their differences.
    pub names: [&'static str; 3],
}

impl Exhibit {
    /// Draws an image with two masks of its size.
    ///
    /// # Errors
    /// When a mask has another size or a label exceeds the classes.
    pub fn draw(
        (name, caption): (String, String),
        image: &Rgb32FImage,
        truth: &GrayImage,
        prediction: &GrayImage,
        classes: &[Class],
    ) -> Result<Self, OverlayError> {
        let palette: Vec<[u8; 3]> = classes.iter().map(|class| class.color).collect();
        let draw = |mask: &GrayImage| overlay(image, mask, &palette).map(|drawn| shrink(&drawn));
        Ok(Self {
            name,
            caption,
            image: draw(&GrayImage::new(image.width(), image.height()))?,
            truth: draw(truth)?,
            prediction: draw(prediction)?,
            errors: shrink(&error_map(image, truth, prediction)),
            names: ["truth", "prediction", "errors"],
        })
    }

    /// Renders the exhibit.
    pub fn render(&self) -> Markup {
        let Self { image, truth, prediction, errors, names: [one, other, difference], .. } = self;
        html! {
            figure.exhibit {
                figcaption { strong { (self.name) } span { (self.caption) } }
                div.panels {
                    @for (what, picture) in [(&"image", image), (one, truth), (other, prediction), (difference, errors)] {
                        div {
                            img src=(address(picture)) width=(picture.width()) height=(picture.height()) alt={ (self.name) ", " (what) };
                            (what)
                        }
                    }
                }
            }
        }
    }
}

/// Renders the legend of the exhibits' colours.
pub fn legend(classes: &[Class]) -> Markup {
    let outcomes = [FOUND, TOO_MUCH, MISSED, MIXED_UP];
    // The background has no other class to be confused with.
    let outcomes = if classes.len() > 2 { &outcomes[..] } else { &outcomes[..3] };
    html! {
        div.legend {
            strong { "Masks" }
            @for class in classes.iter().skip(1) { span { (color(class.color)) (class.name) } }
            strong { "Errors" }
            @for outcome in outcomes { span { (color(outcome.color)) (outcome.name) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(names: &[&str]) -> Vec<Class> {
        names.iter().enumerate().map(|(index, name)| Class::new(*name, index)).collect()
    }

    #[test]
    fn an_exhibit_has_four_pictures_with_words() {
        let (image, mask) = (Rgb32FImage::new(4, 3), GrayImage::new(4, 3));
        let classes = classes(&["background", "cell"]);
        let exhibit = Exhibit::draw(("a<b".into(), "Dice 0.5".into()), &image, &mask, &mask, &classes).unwrap();
        let html = exhibit.render().into_string();
        assert_eq!(html.matches("<img src=\"data:image/jpeg;base64,").count(), 4);
        for part in ["alt=\"a&lt;b, errors\"", "width=\"4\" height=\"3\"", "Dice 0.5"] {
            assert!(html.contains(part), "no {part:?} in {html}");
        }
        let other = GrayImage::new(3, 3);
        assert!(Exhibit::draw((String::new(), String::new()), &image, &mask, &other, &classes).is_err());
    }

    #[test]
    fn two_classes_cannot_be_mixed_up() {
        for (names, expected) in [(&["background", "cell"][..], false), (&["background", "cup", "disc"], true)] {
            assert_eq!(legend(&classes(names)).into_string().contains(MIXED_UP.name), expected);
        }
    }
}
