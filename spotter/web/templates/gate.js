// Asks the site that lies beside this page about every picture, and tells the answers to whoever serves it.
const tell = (said) => fetch("told", { method: "POST", body: JSON.stringify(said) });
const get = async (path) => {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path}: HTTP ${answer.status}`);
  return answer;
};

try {
  const { pictures, size } = await (await get("asked.json")).json();
  // Not at the top: a file that cannot be parsed has to be told too.
  const { load } = await import("./site/spotter.js");
  const model = await load(new URL("site/", location.href));
  await tell({ browser: navigator.userAgent, self_test: await model.selfTest() });
  for (let number = 0; number < pictures; number++) {
    const file = await (await get(`files/${number}`)).blob();
    const data = new Uint8Array(await (await get(`squares/${number}`)).arrayBuffer());
    const answers = [await model.classify(file), await model.classify({ data, width: size, height: size })];
    await tell({ number, answers });
  }
  await tell({ done: true });
} catch (error) {
  await tell({ failed: `${error?.name}: ${error?.message}` });
}
