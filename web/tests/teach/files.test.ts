import { expect, test } from "vitest";
import { checkNetwork, fields } from "../../src/onnx.js";
import { asFloats, readTensors } from "../../src/safetensors.js";
import { areSame, bareJpeg } from "../../src/teach/bare_jpeg.js";
import { groupDuplicates } from "../../src/teach/groups.js";
import { folderName, inOrder } from "../../src/teach/names.js";
import { findHead, productsNetwork, withOutput } from "../../src/teach/onnx_write.js";
import { countTensor, floatTensor, writeTensors } from "../../src/teach/safetensors_write.js";

const JFIF = [0xff, 0xe0, 0, 16, ...Array.from("JFIF\0", (each) => each.charCodeAt(0)), 1, 1, 0, 0, 1, 0, 1, 0, 0];
const TABLE = [0xff, 0xdb, 0, 3, 7];
const SCAN = [0xff, 0xda, 0, 2, 1, 2, 3, 0xff, 0xd9];

test("a bare JPEG stays, metadata and comments go", () => {
  const bare = Uint8Array.from([0xff, 0xd8, ...JFIF, ...TABLE, ...SCAN]);
  expect(areSame(bareJpeg(bare), bare)).toBe(true);
  const exif = [0xff, 0xe1, 0, 4, 1, 2];
  const comment = [0xff, 0xfe, 0, 3, 65];
  const full = Uint8Array.from([0xff, 0xd8, ...exif, ...JFIF, ...comment, ...TABLE, ...SCAN]);
  expect(areSame(bareJpeg(full), bare)).toBe(true);
  expect(() => bareJpeg(full.slice(0, 30))).toThrow("cut short");
});

test("what is written is what is read", () => {
  const file = writeTensors({ a: floatTensor(Float32Array.from([1, 2.5]), [1, 2]), b: countTensor([3]) });
  const tensors = readTensors(file);
  const [one, other] = [tensors.get("a"), tensors.get("b")];
  expect(one && asFloats(one)).toEqual(Float32Array.from([1, 2.5]));
  expect(other?.shape).toEqual([1]);
});

test("a network gets another output, and one without a head is refused", () => {
  const network = productsNetwork();
  checkNetwork(withOutput(network, "one"), "products");
  const outputs = [...fields(withOutput(network, "one"))].filter(([field]) => field === 7);
  expect(outputs).toHaveLength(2);
  expect(() => findHead(network)).toThrow("cannot be taught");
});

test("near duplicates are of one group, mirrored ones and those of one page too", () => {
  const picture = (phash: string, page = "", target = 0): { phash: string; page: string; target: number } => ({
    phash,
    page,
    target,
  });
  const pictures = [
    picture("ffffffffffffffff"),
    picture("0000000000000000", "p"),
    picture("fffffffffffffff0", "", 1),
    picture("00000000ffffffff", "p"),
    picture("aaaaaaaaaaaaaaaa"),
  ];
  const { groups, twins } = groupDuplicates(pictures, () => 0.9);
  expect(groups).toEqual([0, 1, 0, 1, 0]);
  expect(twins).toEqual([
    { first: 0, second: 2, cosine: 0.9 },
    { first: 2, second: 4, cosine: 0.9 },
  ]);
  expect(groupDuplicates(pictures, () => 0.1).groups).toEqual([0, 1, 2, 1, 3]);
});

test("pictures are in the order of their paths in a picture set", () => {
  expect(["a/b", "x.json", ".a", "a. "].map(folderName)).toEqual(["a_b", "x.json_", "_a", "a__"]);
  const pictures = [
    { added: "b", sha256: "1" },
    { added: "a", sha256: "2" },
    { added: "a", sha256: "1" },
    { added: "B", sha256: "1" },
  ];
  expect(inOrder(pictures).map(({ added, sha256 }) => added + sha256)).toEqual(["B1", "a1", "a2", "b1"]);
});
