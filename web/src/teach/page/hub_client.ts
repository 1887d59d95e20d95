/** The Hub's own client, loaded when somebody signs in or comes back from there. */

import { scriptProblem } from "../../script_problem.js";

type Client = typeof import("../../hub.js");

/** @throws BrokenModel: its file is missing or changed. @throws CannotRun: it did not come. */
export async function hubClient(): Promise<Client> {
  try {
    return await import("../../hub.js");
  } catch (error) {
    throw (await scriptProblem(new URL(".", import.meta.url), "hub.js")) ?? error;
  }
}
