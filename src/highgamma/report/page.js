(function () {
  "use strict";
  var holder = document.getElementById("all-electrodes"), ready = false;
  if (holder) {
    holder.addEventListener("toggle", function () {
      if (holder.open && !ready) { ready = true; start(); }
    });
    if (holder.open) { ready = true; start(); }
  }

  function start() {
    var data = JSON.parse(document.getElementById("electrode-data").textContent);
    var at = {}, STEP = 200, shown = STEP, chosen = [], sorted = null, downward = true;
    data.columns.forEach(function (name, k) { at[name] = k; });
    var table = document.getElementById("electrodes"), body = table.tBodies[0];
    var heads = Array.prototype.slice.call(table.tHead.rows[0].cells);
    var find = document.getElementById("find"), more = document.getElementById("more");
    var count = document.getElementById("count");
    var picks = ["analysis", "model", "verdict"].map(function (name) {
      return { name: name, select: document.getElementById("pick-" + name) };
    });
    document.getElementById("filters").hidden = false;

    function text(row, name) {
      var code = row[at[name]];
      return code === null ? "" : data.texts[code];
    }
    function stat(value, digits) {
      if (value === null) return "–";
      var written = Math.abs(value).toFixed(digits === undefined ? 2 : digits);
      if (written.slice(0, 2) === "0.") written = written.slice(1);
      return value < 0 && /[1-9]/.test(written) ? "−" + written : written;
    }
    function chance(value) {
      return value === null ? "–" : value < 0.001 ? "< .001" : stat(value, 3);
    }
    function ms(value) { return value === null ? "–" : (value * 1000).toFixed(0).replace("-", "−"); }
    function element(name, content, kind) {
      var made = document.createElement(name);
      if (content !== undefined) made.textContent = content;
      if (kind) made.className = kind;
      return made;
    }

    // What each row says, for the search; made once.
    var said = data.rows.map(function (row) {
      var words = [];
      for (var k = 0; k < data.n_texts; k++) if (row[k] !== null) words.push(data.texts[row[k]]);
      return words.join(" ").toLowerCase();
    });

    picks.forEach(function (pick) {
      var seen = {}, names = [];
      data.rows.forEach(function (row) {
        var name = text(row, pick.name);
        if (!Object.prototype.hasOwnProperty.call(seen, name)) { seen[name] = true; names.push(name); }
      });
      names.forEach(function (name) {
        var option = element("option", name);
        option.value = name;
        pick.select.appendChild(option);
      });
      pick.select.addEventListener("change", choose);
    });
    find.addEventListener("input", choose);
    more.addEventListener("click", function () { shown += STEP; draw(); });

    function value(row, name) {
      var k = at[name];
      return k < data.n_texts ? text(row, name) : row[k];
    }
    heads.forEach(function (head) {
      var button = head.querySelector("button"), name = head.getAttribute("data-column");
      if (!button || !name) return;
      button.addEventListener("click", function () {
        // The most telling rows first: small probabilities, large scores.
        downward = sorted === name ? !downward
          : at[name] >= data.n_texts && ["p", "q", "contamination"].indexOf(name) < 0;
        sorted = name;
        heads.forEach(function (h) { h.removeAttribute("aria-sort"); });
        head.setAttribute("aria-sort", downward ? "descending" : "ascending");
        choose();
      });
    });

    function choose() {
      var wanted = find.value.toLowerCase();
      shown = STEP;
      chosen = [];
      data.rows.forEach(function (row, k) {
        if (wanted && said[k].indexOf(wanted) < 0) return;
        for (var n = 0; n < picks.length; n++) {
          if (picks[n].select.value && text(row, picks[n].name) !== picks[n].select.value) return;
        }
        chosen.push(row);
      });
      if (sorted) {
        var order = new Intl.Collator(undefined, { numeric: true });
        chosen.sort(function (a, b) {
          var x = value(a, sorted), y = value(b, sorted);
          if (x === null || y === null || x === "" || y === "") {
            return (x === null || x === "" ? 1 : 0) - (y === null || y === "" ? 1 : 0);
          }
          var difference = typeof x === "number" ? x - y : order.compare(x, y);
          return downward ? -difference : difference;
        });
      }
      draw();
    }

    function draw() {
      var rows = document.createDocumentFragment();
      chosen.slice(0, shown).forEach(function (row) { rows.appendChild(line(row)); });
      body.textContent = "";
      body.appendChild(rows);
      count.textContent = chosen.length + " of " + data.rows.length + " rows" +
        (chosen.length > shown ? ", the first " + shown + " shown" : "");
      more.hidden = chosen.length <= shown;
    }

    function line(row) {
      var made = element("tr"), opener = element("button", "+", "open"), first = element("td");
      opener.type = "button";
      opener.setAttribute("aria-expanded", "false");
      opener.setAttribute("aria-label",
        "What led to the verdict on " + text(row, "participant") + " " + text(row, "electrode"));
      opener.addEventListener("click", function () {
        var open = opener.getAttribute("aria-expanded") === "true";
        opener.setAttribute("aria-expanded", String(!open));
        opener.textContent = open ? "+" : "−";
        if (open) body.removeChild(made.nextSibling);
        else body.insertBefore(detail(row), made.nextSibling);
      });
      first.appendChild(opener);
      made.appendChild(first);
      ["analysis", "participant", "electrode", "region", "model", "verdict"].forEach(function (name) {
        var cell = element("td", text(row, name) || "–", name === "region" || name === "analysis" ? "" : "name-cell");
        if (name === "verdict") cell.title = text(row, "rule");
        made.appendChild(cell);
      });
      made.appendChild(element("td", row[at.layer] === null ? "–" : String(row[at.layer]), "n"));
      ["r", "skill"].forEach(function (name) { made.appendChild(element("td", stat(row[at[name]]), "n")); });
      ["p", "q"].forEach(function (name) { made.appendChild(element("td", chance(row[at[name]]), "n")); });
      made.appendChild(element("td", stat(row[at.gain]), "n"));
      made.appendChild(element("td", chance(row[at.contamination]), "n"));
      return made;
    }

    function detail(row) {
      var made = element("tr", undefined, "detail"), cell = element("td"), list = element("dl");
      var within = element("div", undefined, "within");
      cell.colSpan = heads.length;
      var sentence = element("p");
      sentence.appendChild(element("strong", text(row, "verdict") + ": "));
      sentence.appendChild(document.createTextNode(text(row, "rule") + "."));
      within.appendChild(sentence);
      function entry(term, words) {
        var pair = element("div");
        pair.appendChild(element("dt", term));
        pair.appendChild(element("dd", words));
        list.appendChild(pair);
      }
      var share = row[at.stability], ceiling = row[at.noise_ceiling], gains = row[at.gains] || [];
      entry("train–test distance", row[at.distance_s] === null ? "–" : row[at.distance_s] + " s");
      entry("mean predictor, r", stat(row[at.mean_r]));
      entry("position alone, r", stat(row[at.position_r]));
      entry("position alone, skill", stat(row[at.position_skill]));
      entry("this model, r", stat(row[at.r]));
      entry("this model, skill", stat(row[at.skill], 3));
      entry("p", chance(row[at.p]));
      entry("q", chance(row[at.q]));
      gains.forEach(function (gain) {
        entry("gain over " + data.texts[gain[0]], stat(gain[2], 3) + " (its skill " + stat(gain[1], 3) + ")");
      });
      if (!gains.length) entry("gain", row[at.gain] === null ? "no control to compare with" : stat(row[at.gain], 3));
      entry("contamination, p", chance(row[at.contamination]));
      entry("layer", (row[at.layer] === null ? "–" : row[at.layer]) +
        (share === null ? "" : ", chosen in " + Math.round(100 * share) + " % of folds"));
      if (row[at.peak_lag] !== null) {
        entry("peak lag", ms(row[at.peak_lag]) + " ms (" + ms(row[at.peak_lag_low]) + " to " + ms(row[at.peak_lag_high]) + ")");
        entry("lag", ms(row[at.lag]) + " ms, chosen in " + Math.round(100 * row[at.lag_stability]) + " % of folds");
      }
      entry("noise ceiling of r", ceiling === null ? text(row, "ceiling_status") || "–" : stat(ceiling));
      data.further.forEach(function (name) { entry(name, stat(row[at[name]], 3)); });
      entry("flags", text(row, "flags").replace(/,/g, ", ") || "none");
      within.appendChild(list);
      cell.appendChild(within);
      made.appendChild(cell);
      return made;
    }

    choose();
  }
})();
