/** An answer in words, as the server's page says it. */

import type { Answer } from "../types.js";
import { asWritten, joinLabels, tell, type Language } from "./language.js";
import { costFigure, whole } from "./numbers.js";

/** What is said in big type, the line below it, and how it is meant. */
export interface Words {
  heading: string;
  more: string;
  kind: "hint" | "sure" | "unsure";
}

const ASK = "ask";

/** What stands where the answer will be. */
export function startWords(labels: readonly string[], language: Language): Words {
  const more = labels.length ? tell(language, "knows", { labels: joinLabels(labels, language) }) : "";
  return { heading: tell(language, "start"), more, kind: "hint" };
}

/** The answer. */
export function answerWords(answer: Answer, language: Language): Words {
  const advice = adviceOf(answer, language);
  if (!answer.familiar) {
    const more = tell(language, "closest", { label: answer.closest });
    return { heading: tell(language, "unsure"), more: `${more} ${advice}`.trim(), kind: "unsure" };
  }
  if (answer.set && !(answer.set.length === 1 && answer.set[0] === answer.label)) {
    return severalWords(answer, answer.set, advice, language);
  }
  const share = 100 * (answer.probabilities[answer.label] ?? 0);
  const values = { label: capitalized(answer.label), percent: whole(share) };
  return { heading: tell(language, share >= 99.5 ? "very_sure" : "sure", values), more: advice, kind: "sure" };
}

function severalWords(answer: Answer, chosen: readonly string[], advice: string, language: Language): Words {
  if (!chosen.length || chosen.length === Object.keys(answer.probabilities).length) {
    const more = tell(language, "closest", { label: answer.closest });
    return { heading: tell(language, "unsure_set"), more: `${more} ${advice}`.trim(), kind: "unsure" };
  }
  const more = `${tell(language, "set_told")} ${advice}`.trim();
  return { heading: capitalized(joinLabels(chosen, language, "or")), more, kind: "sure" };
}

/** Whether it is about a part of the picture, whether a prior was used, and what is best done, by what mistakes cost. */
function adviceOf(answer: Answer, language: Language): string {
  const told = answer.looked_at ? [tell(language, "looked_closer")] : [];
  if (answer.prior) told.push(tell(language, "prior_used"));
  if (answer.decision !== undefined) {
    const cost = asWritten(costFigure(answer.expected_cost ?? 0), language);
    const key = answer.decision === ASK ? "advice_ask" : "advice_say";
    told.push(tell(language, key, { label: answer.decision, cost }));
  }
  return told.join(" ");
}

function capitalized(text: string): string {
  const first = String.fromCodePoint(text.codePointAt(0) ?? 32);
  return first.toUpperCase() + text.slice(first.length);
}
