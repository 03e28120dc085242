// Unpacks the program that draws, and draws each chart when the reader comes near it: a page opens as fast as its first.
const root = document.documentElement;
const dark = matchMedia("(prefers-color-scheme: dark)");

function template() {
  const style = getComputedStyle(root);
  const [ink, line, ground] = ["--ink", "--line", "--ground"].map((name) => style.getPropertyValue(name).trim());
  const axis = {
    gridcolor: line, zerolinecolor: line, linecolor: line, automargin: true, title: { standoff: 10 },
  };
  return {
    layout: {
      font: { color: ink, family: "system-ui, sans-serif", size: 13 },
      title: { x: 0, xanchor: "left", xref: "paper", font: { size: 15 }, y: 1, yref: "container", yanchor: "top",
        pad: { t: 12 } },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      xaxis: axis, yaxis: axis, hovermode: "closest", hoverlabel: { bgcolor: ground, font: { color: ink } },
      margin: { l: 70, r: 20, t: 56, b: 60 },
      legend: { orientation: "v", x: 1.01, y: 1, bgcolor: "rgba(0,0,0,0)" },
    },
  };
}

function draw(place, chart) {
  const ink = getComputedStyle(root).getPropertyValue("--ink").trim();
  // Blue that is dark enough on white is too dark on black.
  const text = JSON.stringify(chart.data);
  const shown = JSON.parse(dark.matches ? text.replaceAll("#0072B2", "#4BA3DB") : text);
  const data = shown.map((trace) => trace.type === "parcoords"
    ? { ...trace, labelfont: { color: ink }, tickfont: { color: ink }, rangefont: { color: "rgba(0,0,0,0)" } } : trace);
  return Plotly.react(place, data, { ...chart.layout, template: template() },
    { responsive: true, displaylogo: false });
}

function say(place, text) {
  const paragraph = document.createElement("p");
  paragraph.className = "warning";
  paragraph.textContent = text;
  place.replaceChildren(paragraph);
}

async function unpacked(id) {
  const letters = atob(document.getElementById(id).textContent);
  // A loop, for Uint8Array.from with a function takes ten times as long on so many.
  const packed = new Uint8Array(letters.length);
  for (let place = 0; place < letters.length; place++) packed[place] = letters.charCodeAt(place);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

const NEAR = "800px";

async function drawNear() {
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const places = [...document.querySelectorAll(".chart")];
  if (typeof DecompressionStream === "undefined") {
    places.forEach((place) => say(place, "This browser is too old to draw the charts (it has no DecompressionStream)."));
    return;
  }
  const program = document.createElement("script");
  program.textContent = await unpacked("plotly");
  document.head.append(program);
  const webgl = document.createElement("canvas").getContext("webgl") !== null;
  const near = [];
  let drawing = false;
  async function drawThose() {
    if (drawing) return;
    drawing = true;
    while (near.length > 0) {
      const place = near.shift();
      const chart = charts[place.dataset.chart];
      if (chart.webgl && !webgl) {
        say(place, "This chart needs WebGL, which this browser does not have or has switched off.");
      } else {
        await draw(place, chart);
      }
      // The page answers between two charts.
      await new Promise((resume) => setTimeout(resume));
    }
    drawing = false;
    root.dataset.drawn = String(document.querySelectorAll(".chart .main-svg:first-child").length);
  }
  const observer = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((entry) => entry.isIntersecting)) {
      observer.unobserve(entry.target);
      near.push(entry.target);
    }
    drawThose();
  // In a frame of another origin, which MLflow's is, the margin is only heeded around the document itself.
  }, { root: document, rootMargin: NEAR });
  places.forEach((place) => observer.observe(place));
  // On paper all of them are wanted.
  addEventListener("beforeprint", () => { near.push(...places.filter((place) => !place.hasChildNodes())); drawThose(); });
  dark.addEventListener("change", () => places.forEach((place) => {
    if (place.classList.contains("js-plotly-plot")) draw(place, charts[place.dataset.chart]);
  }));
}

drawNear();
