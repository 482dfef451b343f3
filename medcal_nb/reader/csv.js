// A file of rows, as an address; a cell that a spreadsheet would take for a formula is marked as text.
function csvOf(rows) {
  const cell = (value) => {
    const text = String(value ?? ""), formula = /^[=+@-]/.test(text) && Number.isNaN(Number(text));
    return `"${formula ? "'" : ""}${text.replaceAll('"', '""')}"`;
  };
  const text = rows.map((row) => row.map(cell).join(",")).join("\r\n");
  return `data:text/csv;charset=utf-8,${encodeURIComponent(text)}`;
}
