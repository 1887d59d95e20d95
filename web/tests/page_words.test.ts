import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { siteOf } from "../src/page/dom.js";
import { answerWords, startWords } from "../src/page/answer.js";
import { asWritten, joinLabels, pickLanguage, tell, type Language } from "../src/page/language.js";
import type { Answer } from "../src/types.js";

function language(tag: string): Language {
  const file = new URL(`../../spotter/serve/locales/${tag}.json`, import.meta.url);
  const texts = JSON.parse(readFileSync(file, "utf8")) as Record<string, string>;
  return { tag, name: tag, texts, about_html: "", error: "" };
}

const english = language("en");
const german = language("de");

function answer(changes: Partial<Answer> = {}): Answer {
  const probabilities = { grizzly: 0.974, black: 0.02, teddy: 0.006 };
  return { label: "grizzly", closest: "grizzly", probabilities, familiarity: 0.9, familiar: true, threshold: 0.5, ...changes };
}

test("a sure answer has a capital and a share", () => {
  expect(answerWords(answer(), english)).toEqual({ heading: "Grizzly, 97 % sure", more: "", kind: "sure" });
  const certain = answer({ probabilities: { grizzly: 0.996, black: 0.004 } });
  expect(answerWords(certain, english).heading).toBe("Grizzly, over 99 % sure");
});

test("an unfamiliar picture gets no name, but the closest one", () => {
  const words = answerWords(answer({ label: "not sure", familiar: false }), english);
  expect(words.kind).toBe("unsure");
  expect(words.heading).toBe("Not sure: this looks unlike the pictures I learned from");
  expect(words.more).toBe("If it is one of them, my best guess is grizzly.");
});

test("several labels are joined by or; all of them, or none, are no answer", () => {
  expect(answerWords(answer({ set: ["grizzly", "black"] }), english)).toEqual({
    heading: "Grizzly or black",
    more: "It is nearly always one of these.",
    kind: "sure",
  });
  for (const set of [["grizzly", "black", "teddy"], []]) {
    expect(answerWords(answer({ set }), english).heading).toBe("Not sure: I cannot tell which of them it is");
  }
  expect(answerWords(answer({ set: ["grizzly"] }), english).heading).toBe("Grizzly, 97 % sure");
});

test("costs and a prior are told, numbers as the language writes them", () => {
  const advised = answer({ decision: "black", expected_cost: 0.125, prior: { grizzly: 1 } });
  const more = answerWords(advised, german).more;
  expect(more).toContain("als black behandeln (erwartete Kosten 0,12)");
  expect(more).toContain(german.texts.prior_used);
  expect(answerWords(answer({ decision: "ask", expected_cost: 2 }), english).more).toContain("ask a person (expected cost 2)");
});

test("labels are listed as people do", () => {
  expect(joinLabels(["a", "b", "c"], english)).toBe("a, b and c");
  expect(joinLabels(["a", "b", "c"], language("zh"))).toBe("a、b和c");
  expect(joinLabels(Array.from("abcdefghijklmnop"), language("es"))).toBe("a, b, c, d, e, f, g, h, i, j, k, … y p");
  expect(joinLabels([], english)).toBe("");
  expect(startWords([], english).more).toBe("");
});

test("the language is the first wish that is there", () => {
  const there = ["en", "de", "zh"];
  expect(pickLanguage([null, "de-AT"], there)).toBe("de");
  expect(pickLanguage(["xx", "zh-TW"], there)).toBe("zh");
  expect(pickLanguage([undefined, "../en"], there)).toBe("en");
});

test("values are put in as they are, and a key that is not there is an error", () => {
  expect(tell(english, "knows", { labels: "{x} & $1" })).toBe("I can tell apart {x} & $1.");
  expect(() => tell(english, "no_such_key")).toThrow();
  expect(asWritten("12.3", german)).toBe("12,3");
});

test("a credit leads to a page of the web or nowhere", () => {
  expect(siteOf("https://commons.wikimedia.org/wiki/File:A.jpg")).toBe("commons.wikimedia.org");
  expect(siteOf("HTTP://x.test:8080/")).toBe("x.test:8080");
  for (const address of ["javascript:alert(1)", "javascript://x.test/%0aalert(1)", "data:text/html,x", "ftp://x.test/a"]) {
    expect(siteOf(address)).toBe("");
  }
  expect(siteOf("http://[broken")).toBe("");
});
