// All works without this script but the progress of an upload and numbers that move.
const byId = (id) => document.getElementById(id);

const upload = byId("upload");
if (upload) {
  const problem = byId("upload-problem"), bar = byId("upload-bar"), text = byId("upload-text");
  const button = upload.querySelector("button"), box = byId("uploading");
  let request = null;

  const fail = (why) => {
    problem.textContent = why;
    problem.hidden = false;
    box.hidden = true;
    button.disabled = false;
  };

  const send = (file) => {
    problem.hidden = true;
    if (file.size > Number(upload.dataset.most)) return fail("This file is larger than this page takes.");
    request = new XMLHttpRequest();
    request.open("PUT", "/uploads");
    request.setRequestHeader("X-File-Name", encodeURIComponent(file.name));
    request.upload.onprogress = (event) => {
      bar.value = event.loaded / event.total;
      text.textContent = `Copying the file: ${Math.floor((100 * event.loaded) / event.total)} %`;
    };
    request.upload.onload = () => {
      text.textContent = "Looking at the file…";
    };
    request.onload = () => {
      if (request.status === 200) {
        location.href = JSON.parse(request.responseText).next;
        return;
      }
      const page = new DOMParser().parseFromString(request.responseText, "text/html");
      fail(page.querySelector("[role=alert]")?.textContent ?? "The file could not be copied.");
    };
    request.onabort = () => fail("Cancelled. Nothing was kept.");
    request.onerror = () => fail("The connection was lost while the file was copied. Nothing was kept.");
    box.hidden = false;
    button.disabled = true;
    request.send(file);
  };

  byId("upload-cancel").addEventListener("click", () => request?.abort());
  upload.addEventListener("submit", (event) => {
    event.preventDefault();
    const file = upload.elements.file.files[0];
    if (file) send(file);
  });
  upload.addEventListener("dragover", (event) => {
    event.preventDefault();
    upload.classList.add("over");
  });
  upload.addEventListener("dragleave", () => upload.classList.remove("over"));
  upload.addEventListener("drop", (event) => {
    event.preventDefault();
    upload.classList.remove("over");
    if (event.dataTransfer.files.length > 1) return fail("Drop one file at a time.");
    if (event.dataTransfer.files[0]) send(event.dataTransfer.files[0]);
  });
}

const filter = byId("filter");
if (filter) {
  filter.addEventListener("input", () => {
    const wanted = filter.value.toLowerCase();
    for (const row of document.querySelectorAll("[data-job]")) {
      row.hidden = !row.textContent.toLowerCase().includes(wanted);
    }
  });
}

const live = document.querySelector("[data-now]");
if (live) {
  const EVERY_MS = 2000, MOST_MS = 30000, SAID_EVERY_MS = 30000;
  const lost = byId("lost"), bar = byId("bar"), title = document.title;
  let failures = 0, said = 0, timer = 0;

  const put = (name, value) => {
    const place = live.querySelector(`[data-${name}]`);
    if (place) place.textContent = value;
  };

  const show = (now) => {
    put("title", now.title);
    put("text", now.text);
    const states = live.querySelector("[data-states]");
    if (states) states.hidden = Object.keys(now.states).length === 0;
    for (const [state, number] of Object.entries(now.states)) {
      put(`state-${state.replace("_", "-")}`, number.toLocaleString("en"));
    }
    if (now.percent || now.of) bar.value = now.percent;
    document.title = `${now.percent} % · ${title}`;
    if (Date.now() - said > SAID_EVERY_MS) {
      said = Date.now();
      byId("say").textContent = `${now.title}. ${now.text}`;
    }
  };

  const tell = (why) => {
    lost.textContent = why;
    lost.hidden = false;
  };

  const ask = async () => {
    clearTimeout(timer);
    if (document.hidden) return;
    try {
      const answer = await fetch(live.dataset.now, { cache: "no-store", signal: AbortSignal.timeout(8000) });
      if (answer.status === 403) {
        tell("You are signed out. What works goes on without this page. Sign in again, or open the new link.");
        return;
      }
      if (!answer.ok) throw new Error(answer.status);
      const now = await answer.json();
      failures = 0;
      lost.hidden = true;
      if (now.stage !== live.dataset.stage) {
        location.reload();
        return;
      }
      show(now);
    } catch {
      failures += 1;
      if (failures > 1) {
        tell("The server of this page does not answer. What you see is old. What works goes on without this page.");
      }
    }
    timer = setTimeout(ask, Math.min(EVERY_MS * 2 ** failures, MOST_MS));
  };

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) ask();
  });
  addEventListener("online", ask);
  timer = setTimeout(ask, 1000);
}

// Times are in UTC; where the clock differs, that of this place stands beside them.
for (const time of document.querySelectorAll("time[datetime]")) {
  const at = new Date(time.dateTime);
  if (Number.isNaN(at.valueOf()) || at.getTimezoneOffset() === 0) continue;
  const here = document.createElement("span");
  here.className = "soft";
  here.textContent = ` (${at.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" })} here)`;
  time.after(here);
}
