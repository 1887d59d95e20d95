import { expect, test } from "vitest";
import { BadPicture, BadPrior, BrokenModel, CannotRun, NoExplanation } from "../src/errors.js";
import { CodeLeftOut, packError, unpackError } from "../src/messages.js";
import { asCannotRun } from "../src/runs_here.js";

test.each([
  new BadPicture("corrupt", "a"),
  new CannotRun("no-wasm", "b"),
  new BadPrior("c"),
  new BrokenModel("d"),
  new NoExplanation("e"),
  new CodeLeftOut(),
  new Error("f"),
])("an error from a worker keeps its class, its reason and its words: %o", (error) => {
  const back = unpackError(structuredClone(packError(error)));
  expect(back.constructor).toBe(error.constructor);
  expect(back).toEqual(error);
  expect(packError(back)).toEqual(packError(error));
});

test("out of memory is told in whatever words it comes", () => {
  for (const message of ["Out of memory", "Array buffer allocation failed", "std::bad_alloc"]) {
    expect(asCannotRun(new RangeError(message))).toMatchObject({ name: "CannotRun", reason: "memory" });
  }
  const other = new Error("something else");
  expect(asCannotRun(other)).toBe(other);
});
