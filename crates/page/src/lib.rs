//! The page on which models are tried in a browser: HTML, CSS and JavaScript without a build.
//!
//! The page shows images with their masks, and leaves the segmenting to a backend: [`SERVER`] asks
//! the server that the page comes from, [`BROWSER`] runs the model in the browser. Each backend is
//! some scripts, of which `backend.js` has the functions that the page calls, and a few pieces of
//! the page's text.

/// A file of the page.
#[derive(Clone, Copy, Debug)]
pub struct Asset {
    /// Its name beside the page.
    pub name: &'static str,
    /// Its media type.
    pub media_type: &'static str,
    /// Its content.
    pub text: &'static str,
}

/// That which segments the images of the page.
#[derive(Clone, Copy, Debug)]
pub struct Backend {
    /// The scripts that the page does not share with other backends.
    pub scripts: &'static [Asset],
    pieces: &'static [(&'static str, &'static str)],
}

/// Makes the asset of a script.
macro_rules! script {
    ($name:literal, $path:literal) => {
        Asset { name: $name, media_type: JAVASCRIPT, text: include_str!(concat!("assets/", $path)) }
    };
}

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const HTML: &str = include_str!("assets/index.html");

/// The name of the page's icon.
pub const ICON: &str = "favicon.svg";

/// The files that all backends share.
pub const SHARED: &[Asset] = &[
    Asset { name: "page.css", media_type: "text/css; charset=utf-8", text: include_str!("assets/page.css") },
    script!("page.js", "page.js"),
    script!("decode.js", "decode.js"),
    script!("stage.js", "stage.js"),
    Asset { name: ICON, media_type: "image/svg+xml", text: include_str!("assets/favicon.svg") },
];

/// The server that the page comes from.
pub const SERVER: Backend = Backend {
    scripts: &[script!("backend.js", "server/backend.js")],
    pieces: &[
        ("head", ""),
        ("engine", ""),
        (
            "token",
            r#"<form class="token" id="token-form" hidden>
    <label for="token">This server needs a token</label>
    <div class="row"><input id="token" type="password" autocomplete="off" required><button class="primary">Use it</button></div>
  </form>"#,
        ),
        ("privacy", "They are sent to this server only, kept in memory, and not stored."),
        (
            "elsewhere",
            r#"<h3>From another program</h3>
    <pre id="example" tabindex="0"></pre>
    <p class="note"><a href="/openapi.json">All addresses (OpenAPI)</a>, <a href="/metrics">numbers of this server (Prometheus)</a></p>"#,
        ),
    ],
};

/// The browser itself, with a page that any web server can offer. `model.json` beside the page has
/// what the page shows of the model.
pub const BROWSER: Backend = Backend {
    scripts: &[
        script!("backend.js", "browser/backend.js"),
        script!("encode.js", "browser/encode.js"),
        script!("image.js", "browser/image.js"),
        script!("input.js", "browser/input.js"),
        script!("output.js", "browser/output.js"),
        script!("png.js", "browser/png.js"),
        script!("served.js", "browser/served.js"),
        script!("stretch.js", "browser/stretch.js"),
        script!("worker.js", "browser/worker.js"),
    ],
    pieces: &[
        (
            "head",
            r#"<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; worker-src 'self' blob:; base-uri 'none'; form-action 'none'">
<script src="served.js"></script>"#,
        ),
        (
            "engine",
            r#"<label class="pick">Runs with <select id="engine"><option value="wasm">WebAssembly</option><option value="webgpu">WebGPU</option></select></label>"#,
        ),
        ("token", ""),
        ("privacy", "They stay on this machine: the model runs in this browser."),
        (
            "elsewhere",
            r#"<h3>Files</h3>
    <p class="note"><a href="model.onnx" download>The model (ONNX)</a>, <a href="card.md">its card</a>, <a href="model.json">what this page knows of it</a></p>"#,
        ),
    ],
};

impl Backend {
    /// Returns the page's HTML.
    pub fn html(&self) -> String {
        self.pieces.iter().fold(HTML.to_owned(), |html, (name, piece)| html.replace(&format!("<!--{name}-->"), piece))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_asks_no_other_host_and_holds_no_script_of_its_own() {
        for (backend, mut scripts) in [(SERVER, vec!["page.js"]), (BROWSER, vec!["served.js", "page.js"])] {
            let html = backend.html();
            let texts = SHARED.iter().chain(backend.scripts).map(|asset| (asset.name, asset.text));
            for (name, text) in texts.chain([("html", html.as_str())]) {
                for part in ["http:", "https:", "//cdn", "@import", "eval(", "innerHTML", "document.write"] {
                    let text = text.replace("http://www.w3.org/2000/svg", "");
                    assert!(!text.contains(part), "{part:?} in the page's {name}");
                }
            }
            scripts.retain(|name| html.matches(&format!("<script src=\"{name}\"")).count() == 1);
            assert_eq!(html.matches("<script").count(), scripts.len());
            assert!(!html.contains("style=\"") && !html.contains("onclick") && !html.contains("<!--"));
        }
    }

    #[test]
    fn a_script_imports_only_what_lies_beside_it() {
        for backend in [SERVER, BROWSER] {
            let assets: Vec<_> = SHARED.iter().chain(backend.scripts).collect();
            for asset in &assets {
                for part in asset.text.split("from \"./").skip(1) {
                    let name = part.split('"').next().unwrap();
                    assert!(assets.iter().any(|other| other.name == name), "{name} of {}", asset.name);
                }
            }
        }
    }

    #[test]
    fn all_elements_that_scripts_look_for_are_in_the_page() {
        for backend in [SERVER, BROWSER] {
            let html = backend.html();
            for asset in SHARED.iter().chain(backend.scripts) {
                for part in asset.text.split("find(\"").skip(1) {
                    let id = part.split('"').next().unwrap();
                    assert!(html.contains(&format!("id=\"{id}\"")), "{id} of {}", asset.name);
                }
            }
        }
    }
}
