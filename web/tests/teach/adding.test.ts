import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Adding, type Chosen } from "../../src/teach/page/adding.js";
import type { Album } from "../../src/teach/page/album.js";
import { Begun } from "../../src/teach/page/begun.js";
import type { Desk } from "../../src/teach/page/desk.js";
import { Tutor } from "../../src/teach/page/tutor.js";
import texts from "../../../spotter/serve/locales/en.json" with { type: "json" };
import { OneTeacher, newAlbum, newFiles } from "./one_teacher.js";

const nothing = (): void => undefined;

beforeEach(() => {
  OneTeacher.all.length = 0;
  vi.stubGlobal("Worker", OneTeacher);
  vi.stubGlobal("crossOriginIsolated", false);
  vi.stubGlobal("window", globalThis);
  vi.stubGlobal("addEventListener", nothing);
});

afterEach(() => {
  vi.unstubAllGlobals();
});

interface Page {
  adding: Adding;
  album: Album;
  said: string[];
  ids: string[];
  /** How many pictures each class has. */
  counts: () => Record<string, number>;
}

async function openPage(): Promise<Page> {
  const album = newAlbum();
  const tutor = new Tutor(new URL("https://example.org/"), album, nothing, nothing);
  const said: string[] = [];
  const language = { tag: "en", name: "English", texts, about_html: "", error: "" };
  const say = (text: string): void => void said.push(text);
  const desk = { language, album, tutor, say } as unknown as Desk;
  const ids = [(await album.addClass("Class 1")).id, (await album.addClass("Class 2")).id];
  const counts = (): Record<string, number> =>
    Object.fromEntries(album.classes.map(({ id, name }) => [name, album.picturesOf(id).length]));
  return { adding: new Adding(desk, new Begun(undefined)), album, said, ids, counts };
}

/** Files that are still being read, and what ends that. */
function beingRead(): { chosen: Chosen; end: (files: ReturnType<typeof newFiles>) => void } {
  let end: (files: ReturnType<typeof newFiles>) => void = nothing;
  const chosen = new Promise<ReturnType<typeof newFiles>>((resolve) => {
    end = resolve;
  });
  return { chosen, end };
}

test("choices that follow each other at once are all taken, in their order", async () => {
  const { adding, counts, said, ids } = await openPage();
  const [first = "", second = ""] = ids;
  await Promise.all([
    adding.take(first, newFiles(0, 30)),
    adding.take(first, newFiles(30, 1)),
    adding.take(second, newFiles(31, 2)),
    adding.take(first, newFiles(33, 1)),
  ]);
  expect(counts()).toEqual({ "Class 1": 32, "Class 2": 2 });
  expect(said.filter((each) => each.startsWith("Added"))).toEqual(["Added: 30.", "Added: 1.", "Added: 2.", "Added: 1."]);
});

test("folders that are still being read when it is stopped are added nowhere, and are counted", async () => {
  const { adding, counts } = await openPage();
  const { chosen, end } = beingRead();
  const taking = adding.takeFolders(chosen, undefined);
  const stopping = adding.stop();
  await new Promise((resolve) => setTimeout(resolve));
  end([...newFiles(0, 3, "set/disc/"), ...newFiles(3, 2, "set/cross/")]);
  expect(await stopping).toBe(5);
  await taking;
  expect(counts()).toEqual({ "Class 1": 0, "Class 2": 0 });
  // What is chosen after that is taken.
  await adding.takeFolders(newFiles(0, 3, "set/disc/"), undefined);
  expect(counts()).toEqual({ disc: 3 });
});

test("what was dropped first is taken first, however long it is read", async () => {
  const { adding, counts, ids } = await openPage();
  const { chosen, end } = beingRead();
  const both = Promise.all([adding.take(ids[0] ?? "", chosen), adding.take(ids[1] ?? "", newFiles(0, 3))]);
  end(newFiles(0, 3));
  await both;
  // The second are the same pictures.
  expect(counts()).toEqual({ "Class 1": 3, "Class 2": 0 });
});

test("what cannot be read is told to whoever chose it, and the next are taken", async () => {
  const { adding, counts, ids } = await openPage();
  const broken = adding.take(ids[0] ?? "", Promise.reject(new Error("unreadable")));
  const next = adding.take(ids[0] ?? "", newFiles(0, 3));
  await expect(broken).rejects.toThrow("unreadable");
  await next;
  expect(counts()).toEqual({ "Class 1": 3, "Class 2": 0 });
});

test("a folder removes no class that other files wait for", async () => {
  const { adding, counts, ids } = await openPage();
  const folder = [...newFiles(0, 3, "set/disc/"), ...newFiles(3, 2, "set/cross/")];
  await Promise.all([adding.takeFolders(folder, ids[0]), adding.take(ids[1] ?? "", newFiles(5, 4))]);
  expect(counts()).toEqual({ "Class 2": 4, disc: 3, cross: 2 });
});
