// The cleaning page. What was decided is on the server, in the log; this only shows it. Text from outside is set as
// text, never as HTML.
(() => {
  "use strict";
  const get = (name) => document.getElementById(`clean-${name}`);
  const make = (tag, facts = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(facts)) {
      if (name === "class") node.className = value;
      else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (name in node && typeof value !== "string") node[name] = value;
      else node.setAttribute(name, value);
    }
    node.append(...children.filter((child) => child !== null && child !== undefined));
    return node;
  };
  const percent = (share) => share < 0.005 && share > 0 ? "under 1 %" : share >= 0.995 && share < 1 ? "over 99 %"
    : `${Math.round(100 * share)} %`;
  const exact = (share) => `${(100 * share).toFixed(1)} %`;
  const thumb = (id) => `/clean/thumb/${id}`;

  let state = null, queue = "wrong", pages = [], page = 0, groups = [], cards = new Map(), focused = 0;
  let sending = Promise.resolve(), turning = Promise.resolve(), waiting = 0, loads = 0, isLost = false;

  const ask = async (path, body) => {
    const options = body === undefined ? {} :
      { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
    let answer, content;
    try { answer = await fetch(`/clean/${path}`, options); }
    catch {
      isLost = true;
      throw new Error("The page's server does not answer. Start the cleaning page again. Nothing decided is lost.");
    }
    if (isLost) { isLost = false; say(""); }
    try { content = await answer.json(); }
    catch { throw new Error("The page's server failed; the terminal tells more."); }
    if (!answer.ok) throw new Error(typeof content.error === "string" ? content.error : "That was refused.");
    return content;
  };
  const say = (text, isProblem = false) => {
    get("status").textContent = text;
    get("status").classList.toggle("problem", isProblem);
  };
  const guarded = (work) => async (...given) => {
    try { return await work(...given); } catch (problem) { say(problem.message, true); }
  };
  const who = () => get("who").value.trim();
  // A second look: what others decided is neither shown nor counted.
  const alone = () => get("alone").checked ? who() || state?.who || "" : "";
  const askState = () => ask(`state?alone=${encodeURIComponent(alone())}`);

  // ---- the frame -------------------------------------------------------------------------------------------------
  const readState = async () => {
    const before = state;
    state = await askState();
    if (!before) {
      get("who").value = sessionStorage.getItem("who") || new URLSearchParams(location.search).get("as") || state.who;
      fill("label", "all", state.labels.map((label) => [label, label]));
      fill("fold", "all", state.folds.map((fold) => [String(fold), String(fold)]));
      fill("source", "all", state.sources.map((source) => [source, source]));
      restore();
      if (alone()) state = await askState();
    }
    get("title").textContent = `Cleaning: ${state.title}`;
    const decided = `${state.decided} decided${alone() ? " by you" : ""}`;
    get("summary").textContent = `${state.pictures} pictures, ${decided}; model ${state.revision.slice(0, 12)}`;
    showQueues();
    showMatrix();
    showJob();
    // Retrained or published, here or elsewhere.
    if (before && ranking(before) !== ranking(state)) rankAnew();
    return before && (before.edits !== state.edits || before.pictures !== state.pictures);
  };
  const fill = (name, first, options) => get(name).replaceChildren(
    make("option", { value: "" }, first), ...options.map(([value, text]) => make("option", { value }, text)));
  const showQueues = () => {
    const focusedName = document.activeElement?.dataset?.queue;
    get("queues").replaceChildren(...state.queues.map(({ name, title, total, todo, disagrees }) => make("li", {},
      make("button", { type: "button", "data-queue": name, "aria-current": String(name === queue),
        onclick: () => open(name) }, title,
        make("span", { class: "count", title: disagrees === undefined ? `${todo} of ${total} undecided`
          : `the model disagrees with ${disagrees}; ${todo} to look at` },
          String(name === "decided" ? total : disagrees ?? todo))))));
    get("note").textContent = state.queues.find(({ name }) => name === queue)?.note || "";
    if (focusedName) get("queues").querySelector(`[data-queue="${focusedName}"]`)?.focus();
  };
  const heading = () => {
    const [kind, actual, predicted] = queue.split(":");
    if (kind === "cell") return `${actual}, called ${predicted}`;
    return state.queues.find(({ name }) => name === queue)?.title || "";
  };
  const showMatrix = () => {
    const { labels, confusion, confusions } = state;
    get("matrix").hidden = !confusion.length;
    get("confusions").hidden = Boolean(confusion.length);
    get("matrix-words").textContent = confusion.length
      ? "Rows: the label now. Columns: the answer of a model that did not learn from the picture. Click a number to see its pictures."
      : confusions.length ? "The label now, and the answer of a model that did not learn from the picture. The most frequent come first. Click one to see its pictures."
      : "No label is called anything else by a model that did not learn from the picture.";
    get("confusions").replaceChildren(...confusions.map(([row, column, count]) => make("li", {},
      make("button", { type: "button", "data-cell": `${row}-${column}`,
        onclick: () => open(`cell:${labels[row]}:${labels[column]}`) },
        make("span", {}, make("bdi", {}, labels[row]), " called ", make("bdi", {}, labels[column])),
        make("span", { class: "count" }, String(count))))));
    if (confusion.length) get("matrix").replaceChildren(
      make("tr", {}, make("td"), ...labels.map((label) => make("th", { scope: "col" }, label))),
      ...labels.map((actual, row) => make("tr", {}, make("th", { scope: "row" }, actual),
        ...labels.map((predicted, column) => {
          const count = confusion[row][column];
          return make("td", { class: row === column ? "right" : count ? "wrong" : "" },
            make("button", { type: "button", disabled: !count, "data-cell": `${row}-${column}`,
              "aria-label": `${count} of label ${actual}, called ${predicted}: open`,
              onclick: () => open(`cell:${actual}:${predicted}`) }, String(count)));
        }))));
  };

  // ---- queues and pages -------------------------------------------------------------------------------------------
  const showsAll = () => queue.startsWith("cell:") || queue === "decided" || queue === "disputes";
  const remember = () => {
    const words = new URLSearchParams({ queue, label: get("label").value, fold: get("fold").value,
      source: get("source").value, todo: get("todo").checked ? "1" : "", alone: get("alone").checked ? "1" : "" });
    history.replaceState(null, "", `${location.pathname}${location.search}#${words}`);
  };
  const restore = () => {
    const words = new URLSearchParams(location.hash.slice(1));
    queue = words.get("queue") || queue;
    for (const name of ["label", "fold", "source"]) {
      get(name).value = words.get(name) || "";
      // A class or source that is there no more.
      if (get(name).selectedIndex < 0) get(name).value = "";
    }
    for (const name of ["todo", "alone"]) if (words.has(name)) get(name).checked = Boolean(words.get(name));
  };
  const open = guarded(async (name) => {
    queue = name;
    showQueues();
    await load();
    if (document.activeElement?.closest("aside")) get("heading").scrollIntoView({ block: "nearest" });
  });
  // What is typed while pictures are on their way is about those that come.
  const wait = (pictures) => {
    get("cards").setAttribute("aria-busy", "true");
    const mine = turning = pictures.finally(() => { if (mine === turning) get("cards").removeAttribute("aria-busy"); });
    return mine;
  };
  const load = () => wait(readList());
  const turn = (to) => wait(showPage(to));
  const readList = async () => {
    const mine = ++loads;
    await sending;
    remember();
    get("heading").textContent = heading();
    get("todo").disabled = showsAll();
    const words = new URLSearchParams({ name: queue, label: get("label").value, fold: get("fold").value,
      source: get("source").value, todo: String(get("todo").checked && !showsAll()), alone: alone() });
    const { items } = await ask(`queue?${words}`);
    if (mine !== loads) return;
    pages = [];
    let room = 0;
    for (const group of items) {
      if (room < group.length || !pages.length) {
        if (room < state.page_size || !pages.length) { pages.push([]); room = state.page_size; }
      }
      pages[pages.length - 1].push(group);
      room -= group.length;
    }
    await showPage(0);
  };
  const address = (some) => `cards?queue=${encodeURIComponent(queue)}&alone=${encodeURIComponent(alone())}`
    + `&ids=${some.map((group) => group.join("%2B")).join(",")}`;
  const showPage = async (to) => {
    const mine = ++loads;
    page = Math.max(0, Math.min(to, pages.length - 1));
    groups = pages[page] || [];
    const found = groups.length ? (await ask(address(groups))).cards : [];
    if (mine !== loads) return;
    cards = new Map();
    const flat = found.flat();
    const build = (card) => {
      const node = make("article", { class: "card", tabindex: "-1", "data-id": card.id,
        onfocus: () => { focused = flat.findIndex(({ id }) => id === card.id); rove(); } });
      cards.set(card.id, { card, node });
      paint(card.id, flat.length);
      return node;
    };
    get("cards").replaceChildren(...found.map((group) => group.length > 1
      ? make("div", { class: "together", role: "group", "aria-label": `${group.length} pictures that look alike` }, ...group.map(build))
      : build(group[0])));
    const some = pages.reduce((sum, each) => sum + each.length, 0);
    get("page").textContent = pages.length > 1 ? `Page ${page + 1} of ${pages.length}` : "";
    get("previous").disabled = page === 0;
    get("next").disabled = page >= pages.length - 1;
    get("rest").disabled = get("many").disabled = !some;
    get("empty").hidden = some > 0;
    get("empty").textContent = get("todo").checked && !showsAll() ? "Nothing here is undecided." : "There is nothing here.";
    focused = Math.max(0, ids().findIndex((id) => !isDecided(id)));
    // The first time, the head of the page stays in sight.
    const isFirst = document.activeElement === document.body && scrollY === 0;
    focusCard(isFirst || document.activeElement === document.body || Boolean(document.activeElement?.closest("#clean-cards, .pager, nav")), isFirst);
  };

  // ---- cards ------------------------------------------------------------------------------------------------------
  const ids = () => [...cards.keys()];
  const isDecided = (id) => cards.get(id).card.decisions.length > 0 && !(queue === "disputes" && cards.get(id).card.disputed);
  const rove = () => ids().forEach((id, index) => { cards.get(id).node.tabIndex = index === focused ? 0 : -1; });
  const focusCard = (really = true, preventScroll = false) => {
    rove();
    const id = ids()[focused];
    if (id && really) cards.get(id).node.focus({ preventScroll });
  };
  const inWords = ({ action, to }) => action === "delete" ? "deleted" : action === "keep" ? `kept as ${to}` : `moved to ${to}`;
  const paint = (id, count = cards.size) => {
    const { card, node } = cards.get(id);
    const last = card.decisions[card.decisions.length - 1];
    const gone = card.label === null;
    node.className = `card${last ? " decided" : ""}${gone ? " deleted" : ""}${card.disputed ? " disputed" : ""}`;
    const number = ids().indexOf(id) + 1;
    const called = card.predicted === null ? "not judged" : `called ${card.predicted}, ${percent(card.probability)}`;
    const decision = card.disputed ? card.decisions.map((each) => `${each.who}: ${inWords(each)}`).join("; ")
      : last ? inWords(last) + (last.who === who() ? "" : ` by ${last.who}`) : "";
    node.setAttribute("aria-label",
      `Picture ${number} of ${count}: ${card.label || card.collected}, ${called}. ${card.reason}. ${decision || "undecided"}`);
    const given = card.label || card.collected;
    const image = node.querySelector("img") || make("img", { loading: "lazy", decoding: "async", src: thumb(id), width: "320", height: "200" });
    image.alt = card.title;
    const act = (action, to, text, key) => {
      const pressed = Boolean(last) && !card.disputed && last.action === action && (action !== "relabel" || last.to === to);
      const suggested = card.suggestion && (action === "delete" ? card.suggestion.to === null : action === "relabel" && card.suggestion.to === to);
      return make("button", { type: "button", tabindex: "-1", "aria-pressed": String(pressed), class: suggested ? "suggested" : "",
        title: suggested ? "the model suggests this" : "", onclick: () => { focusOn(id); decide([{ id, action, to }]); } },
      text, key ? " " : null, key ? make("kbd", {}, key) : null);
    };
    const others = state.labels.map((label, index) => [label, index]).filter(([label]) => card.in_two || label !== given);
    const moves = others.length <= 4 ? others.map(([label, index]) => act("relabel", label, label, index < 9 ? String(index + 1) : null))
      : [make("select", { "aria-label": "Move to", tabindex: "-1", onchange: (event) => {
        const to = event.target.value;
        if (to) { focusOn(id); decide([{ id, action: "relabel", to }]); }
      } }, make("option", { value: "" }, "Move to …"), ...others.map(([label, index]) =>
        make("option", { value: label }, index < 9 ? `${index + 1}  ${label}` : label)))];
    const facts = [card.origin, card.creator, card.size, card.fold && `fold ${card.fold}`].filter(Boolean).join(" · ");
    const link = /^https?:\/\//.test(card.page || "")
      ? make("a", { href: card.page, target: "_blank", rel: "noopener noreferrer nofollow" }, "Its page") : null;
    node.replaceChildren(image,
      make("div", { class: "text" },
        make("div", { class: "labels" }, make("b", {}, make("bdi", {}, card.in_two && !last ? card.collected : given)),
          make("span", { class: card.predicted === given ? "soft" : "called" }, ` ${called}`)),
        make("div", { class: "why" }, card.reason),
        make("div", { class: "of" }, make("bdi", {}, card.title)),
        make("div", { class: "of" }, make("bdi", {}, facts), link ? " · " : null, link),
        make("div", { class: "decision" }, decision)),
      make("div", { class: "acts" }, card.in_two ? null : act("keep", null, "Keep", "K"), ...moves, act("delete", null, "Delete", "D")));
  };
  const focusOn = (id) => { focused = ids().indexOf(id); focusCard(); };
  const refresh = async (some = ids()) => {
    const wanted = groups.filter((group) => group.some((id) => some.includes(id)));
    if (!wanted.length) return;
    const shown = cards;
    const found = (await ask(address(wanted))).cards.flat();
    // The page was turned meanwhile, or more was decided: what comes next will be fresher.
    if (shown !== cards || waiting) return;
    for (const card of found) {
      const had = cards.get(card.id).node.contains(document.activeElement);
      cards.get(card.id).card = card;
      paint(card.id);
      if (had && !cards.get(card.id).node.contains(document.activeElement)) cards.get(card.id).node.focus();
    }
  };

  // ---- deciding ---------------------------------------------------------------------------------------------------
  // One after the other, so that the log has them in the order of the keys.
  const inTurn = (work) => {
    waiting += 1;
    sending = sending.then(work).catch((problem) => say(problem.message, true)).finally(() => { waiting -= 1; });
    return sending;
  };
  const decide = (items, from = queue) => {
    const before = new Map();
    for (const { id, action, to } of items) {
      const shown = cards.get(id);
      if (!shown) continue;
      before.set(id, shown.card);
      const label = action === "delete" ? null : action === "keep" ? shown.card.label || shown.card.collected : to;
      shown.card = { ...shown.card, label, disputed: false, decisions: [{ who: who(), action, to: label }] };
      paint(id);
      if (items.length === 1 && document.activeElement === document.body) shown.node.focus();
    }
    const meant = items.map((item) => {
      const shown = before.get(item.id);
      // The label that was seen, should somebody change it this moment.
      return item.action === "keep" && shown ? { ...item, to: shown.label || shown.collected } : item;
    });
    return inTurn(async () => {
      try {
        const { decided } = await ask("decide", { who: who(), queue: from, items: meant });
        const what = items.length > 1 ? `${items.length} pictures decided` : inWords({ action: items[0].action, to: items[0].to || cards.get(items[0].id)?.card.label });
        say(`${what[0].toUpperCase()}${what.slice(1)}. ${decided} decided in all.`);
      } catch (problem) {
        for (const [id, card] of before) if (cards.has(id)) { cards.get(id).card = card; paint(id); }
        throw problem;
      }
    }).then(settle);
  };
  let settling = 0;
  const settle = () => {
    clearTimeout(settling);
    settling = setTimeout(guarded(async () => { if (!waiting) { await readState(); await refresh(); } }), 250);
  };
  const undo = () => inTurn(async () => {
    const { undone, count: many } = await ask("undo", { who: who() });
    if (!many) { say("You have nothing to undo."); return; }
    const told = `Undid ${many === 1 ? "the last decision" : `the last ${many} decisions, made together`}.`;
    if (!undone.some((id) => cards.has(id))) {
      const place = pages.findIndex((some) => some.flat().some((id) => undone.includes(id)));
      if (place < 0) { say(`${told} ${undone.length ? "See it in another list, or open this one again." : "Its picture is not here any more."}`); return; }
      await turn(place);
    }
    say(told);
    const here = undone.filter((id) => cards.has(id));
    waiting -= 1;
    try { await refresh(here); } finally { waiting += 1; }
    if (here.length) focusOn(here[0]);
  }).then(settle);
  const advance = guarded(async () => {
    if (focused < cards.size - 1) { focused += 1; focusCard(); return; }
    if (page < pages.length - 1) await turn(page + 1);
  });
  const onFocused = guarded(async (action, to) => {
    await turning.catch(() => {});
    const id = ids()[focused];
    if (!id) return;
    const { card } = cards.get(id);
    if (action === "keep" && card.in_two) { say("This picture is in two classes. Choose one with 1 to 9.", true); return; }
    if (action === "relabel" && to === undefined) return;
    decide([{ id, action, to }]);
    advance();
  });
  const suggested = (card) => card.suggestion && (card.suggestion.to === null ? { action: "delete" } : { action: "relabel", to: card.suggestion.to });

  const onSuggested = guarded(async () => {
    await turning.catch(() => {});
    const what = ids().length && suggested(cards.get(ids()[focused]).card);
    if (what) await onFocused(what.action, what.to); else say("The model suggests nothing here.");
  });

  // ---- many at once -----------------------------------------------------------------------------------------------
  let chosen = [];
  const openBulk = () => {
    const actions = [["suggest", "what the model suggests"], ["keep", "keep the label"], ["delete", "delete"],
      ...state.labels.map((label) => [`to:${label}`, `move to ${label}`])];
    get("bulk-action").replaceChildren(...actions.map(([value, text]) => make("option", { value }, text)));
    get("bulk").showModal();
    preview();
  };
  const undecided = async (scope) => {
    if (scope === "page") return ids().map((id) => cards.get(id).card).filter(({ id }) => !isDecided(id));
    const all = [];
    const every = pages.flat();
    for (let start = 0; start < every.length && all.length < 2000; start += 100) {
      all.push(...(await ask(address(every.slice(start, start + 100)))).cards.flat());
    }
    return all.filter((card) => !card.decisions.length || (queue === "disputes" && card.disputed)).slice(0, 2000);
  };
  let previews = 0;
  const preview = guarded(async () => {
    const mine = ++previews;
    const action = get("bulk-action").value, least = Number(get("bulk-least").value) / 100;
    get("bulk-go").disabled = true;
    get("bulk-count").textContent = "Looking …";
    const found = await undecided(get("bulk-scope").value);
    if (mine !== previews) return;
    // Nothing is deleted because of a probability.
    get("bulk-least-label").hidden = action !== "suggest" || !found.some((card) => suggested(card)?.action === "relabel");
    chosen = found.map((card) => {
      const what = action === "suggest" ? suggested(card) : action.startsWith("to:") ? { action: "relabel", to: action.slice(3) } : { action };
      const sure = action !== "suggest" || what?.action !== "relabel" || card.probability >= least;
      const sensible = what && !(what.action === "keep" && card.in_two) && !(what.action === "relabel" && what.to === card.label && !card.in_two);
      return sensible && sure ? { card, what, wanted: true } : null;
    }).filter(Boolean);
    get("bulk-list").replaceChildren(...chosen.map((each) => make("li", {}, make("label", {},
      make("input", { type: "checkbox", checked: true, onchange: (event) => { each.wanted = event.target.checked; count(); } }),
      make("img", { src: thumb(each.card.id), loading: "lazy", alt: "" }),
      make("span", {}, make("bdi", {}, each.card.title), make("br"),
        make("b", {}, `${each.card.collected} → ${each.what.action === "delete" ? "deleted" : each.what.to || each.card.label}`))))));
    count();
  });
  const count = () => {
    const many = chosen.filter(({ wanted }) => wanted).length;
    get("bulk-count").textContent = many ? `${many} of ${chosen.length} will be decided; one undo undoes them all.` : "Nothing to decide.";
    get("bulk-go").textContent = many ? `Accept ${many}` : "Accept";
    get("bulk-go").disabled = !many;
  };
  const acceptBulk = () => {
    const items = chosen.filter(({ wanted }) => wanted).map(({ card, what }) =>
      ({ id: card.id, ...what, to: what.action === "keep" ? card.label || card.collected : what.to }));
    get("bulk").close();
    decide(items);
    focusCard();
  };
  const keepRest = () => {
    const items = ids().filter((id) => !isDecided(id) && !cards.get(id).card.in_two).map((id) => ({ id, action: "keep" }));
    if (!items.length) { say("Everything on this page is decided."); return; }
    decide(items).then(guarded(async () => { if (page < pages.length - 1) await turn(page + 1); }));
  };

  // ---- the model --------------------------------------------------------------------------------------------------
  let running = false;
  const markBusy = (busy) => {
    running = busy;
    // Not "disabled": that would take the focus away, and with it what was in sight.
    for (const name of ["retrain", "publish"]) get(name).setAttribute("aria-disabled", String(busy));
  };
  const showJob = () => {
    const { job, result } = state;
    const busy = job?.state === "running";
    markBusy(busy);
    get("job").textContent = job ? (job.state === "failed" ? `Failed: ${job.line}` : job.line) : "";
    get("job").classList.toggle("worse", job?.state === "failed");
    showResult(result);
  };
  const ranking = ({ revision, result }) => JSON.stringify([revision, result]);
  const rankAnew = guarded(async () => {
    // Under the hands of somebody who is deciding, no other picture may slip.
    if (!document.activeElement?.closest("#clean-cards")) { await load(); return; }
    await refresh();
    say("The lists have a new order. Open one again to see it.");
  });
  let shownResult = "";
  const showResult = (result) => {
    const text = JSON.stringify(result);
    if (text === shownResult) return;
    shownResult = text;
    if (!result) { get("result").replaceChildren(); return; }
    const names = { before: "before, with the labels of then", relabelled: "the same answers, with the labels of now", after: "after retraining" };
    const rows = result.figures.map(({ name, wrong, pictures, error, interval }) => make("tr", { "data-figures": name },
      make("td", { class: "figure" }, make("b", {}, exact(error)), make("br"), make("span", { class: "soft" }, `${wrong} of ${pictures}`)),
      make("td", { class: "figure" }, names[name], make("br"), make("span", { class: "soft" }, `95 % interval ${exact(interval[0])} to ${exact(interval[1])}`))));
    const list = (title, some, style) => some.length ? [make("h2", { class: style }, `${title}: ${some.length}`),
      make("ul", {}, ...some.map((change) => make("li", { "data-change": change.id }, make("img", { src: thumb(change.id), loading: "lazy", alt: "" }),
        make("span", {}, make("bdi", {}, change.label), change.label === change.was_label ? "" : ` (was ${change.was_label})`,
          `: called ${change.was}, now ${change.now}`))))] : [];
    const { changes } = result;
    get("result").replaceChildren(make("h2", {}, "Error on pictures not seen"), make("table", {}, ...rows),
      ...(result.missing ? [make("p", { class: "soft" }, `${result.missing} have no cached features. They are used when you publish.`)] : []),
      ...(result.fine_tuned ? [make("p", { class: "soft" }, "The published network was fine-tuned; this is a linear head.")] : []),
      ...list("Wrong now", changes.filter(({ right }) => !right), "worse"), ...list("Right now", changes.filter(({ right }) => right), "better"),
      ...(changes.length ? [] : [make("p", { class: "soft" }, "No answer has become right or wrong.")]));
  };
  const start = guarded(async (kind) => {
    // At once: a second click comes before the server's answer.
    markBusy(true);
    try {
      await sending;
      await ask(`start/${kind}`, {});
    } finally {
      await readState();
    }
  });

  // ---- keys, buttons, other windows -------------------------------------------------------------------------------
  const keys = (event) => {
    const target = event.target;
    if (document.querySelector("dialog[open]") || target.closest?.("input:not([type=checkbox]), select, textarea")) return;
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") { event.preventDefault(); undo(); return; }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === " " || event.key === "Enter") {
      if (target.closest?.("button, a, input") || event.key === "Enter") return;
      event.preventDefault();
      onFocused("keep");
      return;
    }
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const acts = {
      k: () => event.shiftKey ? keepRest() : onFocused("keep"), d: () => onFocused("delete"), u: undo,
      a: () => event.shiftKey ? openBulk() : onSuggested(),
      n: advance, ArrowRight: advance, p: () => { focused = Math.max(0, focused - 1); focusCard(); },
      m: () => cards.get(ids()[focused])?.node.querySelector("select")?.focus(),
      ArrowLeft: () => { focused = Math.max(0, focused - 1); focusCard(); },
      PageDown: guarded(() => page < pages.length - 1 && turn(page + 1)), PageUp: guarded(() => page > 0 && turn(page - 1)),
      "?": () => get("keys").showModal(),
    };
    const act = /^[1-9]$/.test(key) ? () => onFocused("relabel", state.labels[Number(key) - 1]) : acts[key];
    if (act) { event.preventDefault(); act(); }
  };
  const listen = () => {
    document.addEventListener("keydown", keys);
    get("undo").addEventListener("click", undo);
    get("keys-open").addEventListener("click", () => get("keys").showModal());
    const again = guarded(async () => { await readState(); await load(); });
    get("who").addEventListener("change", () => { sessionStorage.setItem("who", who()); if (get("alone").checked) again(); });
    get("alone").addEventListener("change", again);
    for (const name of ["label", "fold", "source", "todo"]) get(name).addEventListener("change", guarded(load));
    get("previous").addEventListener("click", guarded(() => turn(page - 1)));
    get("next").addEventListener("click", guarded(() => turn(page + 1)));
    get("rest").addEventListener("click", keepRest);
    get("many").addEventListener("click", openBulk);
    for (const name of ["bulk-action", "bulk-scope", "bulk-least"]) get(name).addEventListener("change", preview);
    get("bulk-go").addEventListener("click", acceptBulk);
    get("bulk-close").addEventListener("click", () => get("bulk").close());
    get("retrain").addEventListener("click", () => { if (!running) start("retrain"); });
    get("publish").addEventListener("click", () => { if (!running) get("confirm").showModal(); });
    get("confirm-close").addEventListener("click", () => get("confirm").close());
    get("confirm-go").addEventListener("click", () => { get("confirm").close(); start("publish"); });
    // Another window, another person, a run in a terminal: what they change shows here.
    let ticks = 0;
    setInterval(guarded(async () => {
      ticks += 1;
      if (document.hidden || waiting || !(running || ticks % 4 === 0)) return;
      if (await readState()) await refresh();
    }), 1000);
  };
  const begin = guarded(async () => {
    listen();
    await readState();
    await load();
  });
  if (document.getElementById("clean")) begin();
  else {
    const watcher = new MutationObserver(() => {
      if (!document.getElementById("clean")) return;
      watcher.disconnect();
      begin();
    });
    watcher.observe(document.documentElement, { childList: true, subtree: true });
  }
})();
