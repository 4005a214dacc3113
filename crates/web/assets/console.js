// What the console's pages gain from script: a chart, the live feed, a question before a change.
// Every page works without it.
(() => {
  "use strict";

  const FEED_ROWS_MAX = 60;

  // A form with data-confirm asks first.
  document.addEventListener("submit", (event) => {
    const question = event.target.getAttribute("data-confirm");
    if (question && !window.confirm(question)) {
      event.preventDefault();
    }
  });

  // Only one menu is open, and Escape or a click elsewhere closes it.
  const closeMenus = (except) => {
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (menu !== except) {
        menu.removeAttribute("open");
      }
    }
  };
  document.addEventListener("click", (event) => closeMenus(event.target.closest("details.menu")));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      closeMenus(null);
    }
  });

  // A select with data-submit sends its form when it changes.
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-submit]")) {
      event.target.form.requestSubmit();
    }
  });

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const dates = (_, marks) => marks.map((at, place) => {
    const text = new Date(at * 1000).toISOString();
    const isNewDay = place === 0 || new Date(marks[place - 1] * 1000).toISOString().slice(0, 10) !== text.slice(0, 10);
    return isNewDay ? text.slice(5, 10) : text.slice(11, 16);
  });

  const drawRisk = async (place) => {
    const answer = await fetch(place.dataset.source, { headers: { accept: "application/json" } });
    if (!answer.ok) {
      place.textContent = "Could not load the history.";
      return;
    }
    const history = await answer.json();
    let chart = null;
    const size = () => ({ width: Math.max(place.clientWidth, 240), height: 220 });
    const bars = (name, token) => ({
      label: name,
      stroke: colour(token),
      fill: colour(`${token}-soft`),
      width: 2,
      points: { show: false },
      paths: uPlot.paths.stepped({ align: 1 }),
    });
    const draw = () => {
      const axis = { stroke: colour("--fw-muted"), grid: { stroke: colour("--fw-line"), width: 1 }, ticks: { show: false } };
      const options = {
        ...size(),
        tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
        cursor: { y: false },
        scales: { y: { range: (_, __, most) => [0, Math.max(4, Math.ceil(most * 1.15))] } },
        axes: [{ ...axis, values: dates }, { ...axis, size: 36, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000] }],
        series: [
          { label: "UTC", value: "{YYYY}-{MM}-{DD} {HH}:{mm}" },
          bars("low", "--fw-low"),
          bars("medium", "--fw-medium"),
          bars("high", "--fw-high"),
        ],
      };
      chart?.destroy();
      place.textContent = "";
      chart = new uPlot(options, [history.at, history.low, history.medium, history.high], place);
    };
    draw();
    new ResizeObserver(() => chart.setSize(size())).observe(place);
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  };

  const entryOf = (entry) => {
    const row = document.createElement("li");
    row.className = "feed-row is-new";
    row.dataset.kind = String(entry.kind).split(".")[0];
    const at = document.createElement("time");
    at.dateTime = entry.at;
    at.textContent = String(entry.at).slice(11, 19);
    at.title = `${String(entry.at).slice(0, 19).replace("T", " ")} UTC`;
    const text = document.createElement(entry.person_id ? "a" : "span");
    if (entry.person_id) {
      text.href = `/people/${encodeURIComponent(entry.person_id)}`;
    }
    text.className = "feed-text";
    text.textContent = entry.summary;
    row.append(at, text);
    return row;
  };

  const follow = (feed) => {
    let newest = Number(feed.dataset.after);
    let source = null;
    const seen = new Set();
    const state = document.getElementById(feed.dataset.state);
    const say = (word) => {
      state.textContent = word;
      state.dataset.live = word;
    };
    const take = (event) => {
      const entry = JSON.parse(event.data);
      if (seen.has(entry.seq)) {
        return;
      }
      seen.add(entry.seq);
      newest = Math.max(newest, entry.seq);
      document.getElementById(feed.dataset.empty)?.remove();
      feed.prepend(entryOf(entry));
      while (feed.children.length > FEED_ROWS_MAX) {
        feed.lastElementChild.remove();
      }
    };
    const open = () => {
      source = new EventSource(`${feed.dataset.source}?after=${newest}`);
      source.addEventListener("open", () => say("live"));
      source.addEventListener("error", () => say("reconnecting"));
      for (const kind of ["message", ...feed.dataset.kinds.split(" ")]) {
        source.addEventListener(kind, take);
      }
    };
    const close = () => {
      source?.close();
      source = null;
    };
    // A browser keeps few connections to one server: a page that nobody looks at gives its own back.
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) {
        close();
      } else if (!source) {
        open();
      }
    });
    window.addEventListener("pagehide", close);
    if (!document.hidden) {
      open();
    }
  };

  document.querySelectorAll("[data-chart=risk]").forEach(drawRisk);
  document.querySelectorAll("[data-feed]").forEach(follow);
})();
