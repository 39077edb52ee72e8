// Filters and sorting of the table, and the episodes of a cell. Texts are only set by textContent.
"use strict";

function startBoard(board, form) {
  const body = board.tBodies[0];
  const rows = [...body.rows];
  const count = document.getElementById("count");

  function filter() {
    const chosen = [...new FormData(form)].filter(([, value]) => value !== "");
    let shown = 0;
    for (const row of rows) {
      row.hidden = !chosen.every(([name, value]) =>
        name === "search"
          ? row.textContent.toLowerCase().includes(value.toLowerCase().trim())
          : row.dataset[name] === value
      );
      shown += !row.hidden;
    }
    for (const field of form.elements) field.classList.toggle("chosen", Boolean(field.value));
    count.textContent = `${shown} of ${rows.length} cells`;
    // The URL contains the filters, so that a link shows the same cells. In some frames it cannot be changed.
    try {
      history.replaceState(null, "", chosen.length ? `#${new URLSearchParams(chosen)}` : location.pathname);
    } catch { /* the filters work without it */ }
  }

  function sort(head) {
    const same = head.hasAttribute("aria-sort");
    const before = head.getAttribute("aria-sort");
    const descending = same ? before === "ascending" : "descending" in head.dataset;
    for (const other of board.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const name = head.dataset.sort;
    const sign = descending ? -1 : 1;
    const compare = "number" in head.dataset ? (a, b) => a - b : (a, b) => a.localeCompare(b);
    rows.sort((a, b) => sign * compare(a.dataset[name], b.dataset[name]) || a.dataset.order - b.dataset.order);
    body.append(...rows);
  }

  for (const head of board.querySelectorAll("th[data-sort]")) {
    head.tabIndex = 0;
    head.addEventListener("click", () => sort(head));
    head.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        sort(head);
      }
    });
  }
  function readAddress() {
    const given = new URLSearchParams(location.hash.slice(1));
    for (const field of form.elements) if (field.name) field.value = given.get(field.name) ?? "";
    filter();
  }

  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(filter));
  window.addEventListener("hashchange", readAddress);
  readAddress();
}

function element(kind, text, parent) {
  const made = document.createElement(kind);
  made.textContent = text;
  parent.append(made);
  return made;
}

function showEpisodes(place, { columns, runs }) {
  const success = columns.indexOf("success");
  for (const run of runs) {
    const section = element("section", "", place);
    section.className = "run";
    const succeeded = run.rows.filter((row) => row[success]).length;
    element("h3", `${run.name ? `${run.name}: ` : ""}${succeeded} of ${run.rows.length} episodes`, section);
    const squares = element("div", "", section);
    squares.className = "squares";
    squares.setAttribute("aria-hidden", "true");
    for (const row of run.rows) {
      const square = element("i", "", squares);
      square.className = row[success] ? "success" : "failure";
      square.title = `seed ${row[0]}: ${square.className}`;
    }
    const details = element("details", "", section);
    element("summary", "All episodes", details);
    // Rows are created on demand: there can be thousands.
    details.addEventListener("toggle", () => details.querySelector("table") || showRows(details, columns, run.rows));
  }
}

function showRows(place, columns, rows) {
  const frame = element("div", "", place);
  frame.className = "wide scroll";
  const table = element("table", "", frame);
  const head = element("tr", "", element("thead", "", table));
  for (const name of columns) element("th", name, head);
  const body = element("tbody", "", table);
  for (const row of rows) {
    const line = element("tr", "", body);
    for (const value of row) {
      element("td", value === null ? "-" : value === true ? "yes" : value === false ? "no" : String(value), line);
    }
  }
}

const board = document.getElementById("board");
if (board) startBoard(board, document.getElementById("filters"));
const data = document.getElementById("data");
if (data) showEpisodes(document.getElementById("episodes"), JSON.parse(data.textContent));
