/* A table wider than its place becomes cards: each row a block, each cell with its column's name. */
function fit() {
  for (const table of document.querySelectorAll("table[data-cards]")) {
    table.classList.remove("cards");
    const box = table.parentElement;
    table.classList.toggle("cards", box.scrollWidth > box.clientWidth);
  }
}
window.addEventListener("load", () => {
  // all that a page shows stands in a landmark
  document.getElementById("pst-primary-sidebar")?.setAttribute("role", "navigation");
  fit();
});
window.addEventListener("resize", fit);
