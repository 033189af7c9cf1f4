// Says so where a browser refuses to load the page's modules, because it was opened as a file.
if (location.protocol === "file:") {
  document.addEventListener("DOMContentLoaded", () => {
    document.getElementById("lead").textContent = "This page runs when a web server offers its folder, for example: python3 -m http.server";
  });
}
