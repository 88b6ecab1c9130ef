// Sorting and filtering of tables; the page is complete without it.
document.querySelectorAll("table").forEach((table) => {
  const bodies = [...table.tBodies];
  const rowsOf = (body) => [...body.rows].filter((row) => row.className !== "title");
  const all = bodies.flatMap(rowsOf);
  if (all.length < 2) return;
  const prefixes = { k: 1e3, M: 1e6, G: 1e9, T: 1e12, P: 1e15, E: 1e18 };
  const text = (row, column) => row.cells[column].textContent.trim();
  const number = (cell) => {
    const found = cell.replace(/\u2212/g, "-").match(/^(?:[<>]\s*)?([+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?)\s*([kMGTPE](?![a-zA-Z]))?/);
    return found ? parseFloat(found[1]) * (prefixes[found[2]] || 1) : NaN;
  };
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const sort = () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const isFilled = (row) => text(row, column) !== "";
      const numeric = all.filter(isFilled).every((row) => !isNaN(number(text(row, column))));
      bodies.forEach((body) => {
        const rows = rowsOf(body);
        const filled = rows.filter(isFilled);
        filled.sort((a, b) => {
          const [x, y] = [text(a, column), text(b, column)];
          const order = numeric ? number(x) - number(y) : x.localeCompare(y, "en", { numeric: true });
          return down ? -order : order;
        });
        // Empty cells stay last, whichever way.
        filled.concat(rows.filter((row) => !isFilled(row))).forEach((row) => body.append(row));
      });
    };
    head.setAttribute("role", "button");
    head.tabIndex = 0;
    head.title = "Sort by this column";
    head.addEventListener("click", sort);
    head.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        sort();
      }
    });
  });
  if (all.length < 8) return;
  const filter = document.createElement("input");
  filter.type = "search";
  filter.className = "filter";
  filter.placeholder = "Filter rows by words";
  filter.setAttribute("aria-label", "Filter the rows of the table below");
  filter.addEventListener("input", () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    all.forEach((row) => {
      const shown = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => shown.includes(word));
    });
  });
  table.parentElement.before(filter);
});
