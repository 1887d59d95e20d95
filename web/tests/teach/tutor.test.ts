import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { CannotTeach } from "../../src/teach/errors.js";
import type { Album } from "../../src/teach/page/album.js";
import { Tutor } from "../../src/teach/page/tutor.js";
import { OneTeacher, newAlbum, newPictures } from "./one_teacher.js";

const SITE = new URL("https://example.org/");
const nothing = (): void => undefined;
const never = new AbortController().signal;

beforeEach(() => {
  OneTeacher.all.length = 0;
  vi.stubGlobal("Worker", OneTeacher);
  vi.stubGlobal("crossOriginIsolated", false);
  vi.stubGlobal("window", globalThis);
  vi.useFakeTimers();
});

afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

async function albumOf(count: number): Promise<{ album: Album; id: string }> {
  const album = newAlbum();
  const { id } = await album.addClass("a");
  await album.add(id, newPictures(0, count));
  return { album, id };
}

/** Until nothing happens any longer: what is to happen after a while has happened then. */
async function settle(): Promise<void> {
  await vi.advanceTimersByTimeAsync(1000);
}

test("pictures that come while it learns keep it from nothing, and are looked at behind it", async () => {
  const { album, id } = await albumOf(5);
  const tutor = new Tutor(SITE, album, nothing, nothing);
  const soon = vi.fn();
  const learning = tutor.learn(never, nothing, soon);
  await settle();
  const teacher = OneTeacher.last;
  expect(teacher.asked).toEqual(["open", "measure pictures"]);
  // As the last pictures of a camera do, when "Learn" is pressed at once.
  await album.add(id, newPictures(5, 2));
  tutor.workAhead();
  await settle();
  teacher.look();
  await settle();
  teacher.look();
  await settle();
  expect(soon).toHaveBeenCalledOnce();
  expect(teacher.asked).toEqual(["open", "measure pictures", "measure pictures", "learn", "measure views"]);
  // One more, while it makes views: it is not waited for.
  tutor.workAhead();
  await settle();
  teacher.look();
  await learning;
  const before = [...teacher.asked];
  expect(before).toEqual([...before.slice(0, 4), "measure views", "learn"]);
  await settle();
  expect(teacher.asked).toEqual([...before, "measure pictures"]);
});

test("what was looked at ahead by then is not looked at again", async () => {
  const { album } = await albumOf(5);
  const tutor = new Tutor(SITE, album, nothing, nothing);
  tutor.workAhead();
  await settle();
  OneTeacher.last.look(3);
  await settle();
  void tutor.learn(never, nothing, nothing);
  await settle();
  const [pictures] = OneTeacher.last.open.at(-1)?.parameters ?? [[]];
  expect(pictures.map(({ features }) => features !== undefined)).toEqual([true, true, true, false, false]);
});

test("nothing is looked at ahead once it is stopped", async () => {
  const { album } = await albumOf(5);
  const tutor = new Tutor(SITE, album, nothing, nothing);
  const ending = new AbortController();
  const learning = tutor.learn(ending.signal, nothing, nothing);
  await settle();
  tutor.workAhead();
  tutor.stopAhead();
  const stopped = expect(learning).rejects.toThrow("stopped");
  ending.abort(new Error("stopped"));
  await stopped;
  await settle();
  expect(OneTeacher.last.asked).toEqual(["open", "measure pictures"]);
});

test.each([
  ["gone", { name: "CannotTeach", reason: "ended" }],
  ["out of memory", { name: "CannotRun", reason: "memory" }],
])("a worker that ends (%s) is told of once, and another one is begun", async (message, error) => {
  const { album } = await albumOf(5);
  const ended = vi.fn();
  const tutor = new Tutor(SITE, album, nothing, ended);
  const learning = tutor.learn(never, nothing, nothing);
  await settle();
  const failed = expect(learning).rejects.toMatchObject(error);
  OneTeacher.last.die(message);
  await failed;
  expect(ended.mock.calls).toMatchObject([[error]]);
  expect(OneTeacher.all.map(({ isEnded }) => isEnded)).toEqual([true]);
  const again = tutor.learn(never, nothing, nothing);
  await settle();
  expect(OneTeacher.all.map(({ isEnded }) => isEnded)).toEqual([true, false]);
  OneTeacher.last.look();
  await settle();
  OneTeacher.last.look();
  await again;
  expect(ended).toHaveBeenCalledOnce();
});

test("a lesson leaves when all of it has been learnt as it is, with views of it or without", async () => {
  const { album, id } = await albumOf(5);
  const tutor = new Tutor(SITE, album, nothing, nothing);
  const outdated = { name: "CannotTeach", reason: "outdated" };
  await expect(tutor.learnt()).rejects.toMatchObject(outdated);
  const learn = async (): Promise<void> => {
    const learning = tutor.learn(never, nothing, nothing);
    await settle();
    await expect(tutor.learnt()).rejects.toMatchObject(outdated);
    // The pictures, and views of them.
    while (OneTeacher.last.open.length) {
      OneTeacher.last.look();
      await settle();
      expect((await tutor.learnt()).lesson.pictures).toHaveLength(album.size);
    }
    await learning;
  };
  await learn();
  await album.add(id, newPictures(5, 1));
  await expect(tutor.learnt()).rejects.toMatchObject(outdated);
  // Stopped before there are views.
  const ending = new AbortController();
  const learning = tutor.learn(ending.signal, nothing, () => {
    ending.abort(new Error("stopped"));
  });
  const stopped = expect(learning).rejects.toThrow("stopped");
  await settle();
  OneTeacher.last.look();
  await settle();
  await stopped;
  expect((await tutor.learnt()).lesson.pictures).toHaveLength(6);
  await album.rename(id, "b");
  await expect(tutor.learnt()).rejects.toMatchObject(outdated);
  // What has its old name, or its old place again, was learnt so.
  await album.rename(id, "a");
  const { sha256 } = newPictures(0, 1)[0]?.picture ?? { sha256: "" };
  await album.decide(sha256, "delete");
  await expect(tutor.learnt()).rejects.toMatchObject(outdated);
  await album.undo(sha256);
  expect((await tutor.learnt()).lesson.labels).toEqual(["a"]);
  OneTeacher.last.die();
  await expect(tutor.learnt()).rejects.toMatchObject(outdated);
});

test("a worker that found no memory is not asked again", async () => {
  const { album } = await albumOf(5);
  const ended = vi.fn();
  const tutor = new Tutor(SITE, album, nothing, ended);
  const learning = tutor.learn(never, nothing, nothing);
  await settle();
  const failed = expect(learning).rejects.toThrow("no room");
  OneTeacher.last.fail({ name: "CannotRun", reason: "memory", message: "no room" });
  await failed;
  expect(ended).toHaveBeenCalledOnce();
  await tutor.get();
  expect(OneTeacher.all.map(({ isEnded }) => isEnded)).toEqual([true, false]);
});

test("a worker that ends while nobody waits for it is told of too", async () => {
  const { album } = await albumOf(5);
  const ended = vi.fn();
  const tutor = new Tutor(SITE, album, nothing, ended);
  const first = await tutor.get();
  OneTeacher.last.die();
  expect(ended).toHaveBeenCalledOnce();
  await expect(first.outlook({})).rejects.toThrow(CannotTeach);
  expect(await tutor.get()).not.toBe(first);
});
