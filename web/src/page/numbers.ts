/** Numbers as Python writes them, so that the page and its tables say what the server's say. */

// More digits than any number that is a tie can have.
const ALL_DIGITS = 60;

/** `f"{value:.0f}"`: of two whole numbers that are equally near, the even one. */
export function whole(value: number): string {
  const below = Math.floor(value);
  const isTie = value - below === 0.5;
  return String(isTie ? below + (below % 2) : Math.round(value));
}

/** A share in per cent without decimals: "97 %", and "> 99 %" or "< 1 %" where rounding would make it certain. */
export function percent(share: number): string {
  const number = whole(100 * share);
  if (number !== "0" && number !== "100") return `${number} %`;
  return share < 0.5 ? "< 1 %" : "> 99 %";
}

/** What something costs, in two digits that mean something; "< 0.01" where that is all there is to say. */
export function costFigure(cost: number): string {
  return cost > 0 && cost < 0.01 ? "< 0.01" : String(Number(general(cost, 2)));
}

/** `f"{value:.{digits}g}"`: so many digits that mean something, and a power of ten where the number is far from 1. */
export function general(value: number, digits: number): string {
  if (value === 0) return "0";
  const rounded = roundTo(value, digits);
  const { figures, power } = split(rounded, digits - 1);
  if (power < -4 || power >= digits) return `${withoutZeros(figures)}e${powerOf(power)}`;
  return withoutZeros(rounded.toFixed(digits - 1 - power));
}

/** `repr(value)`: the shortest digits that mean this number, "1.0" for a whole one. */
export function shortest(value: number): string {
  const { figures, power } = split(value);
  if (value !== 0 && (power < -4 || power >= 16)) return `${figures}e${powerOf(power)}`;
  const plain = String(value);
  return plain.includes(".") ? plain : `${plain}.0`;
}

function roundTo(value: number, digits: number): number {
  const { figures, power } = split(value, ALL_DIGITS);
  const all = figures.replace(/[-.]/g, "");
  const isTie = /^50*$/.test(all.slice(digits)) && Number(all[digits - 1]) % 2 === 0;
  if (!isTie) return Number(value.toExponential(digits - 1));
  return Math.sign(value) * Number(`${all.slice(0, digits)}e${power - digits + 1}`);
}

function split(value: number, digits?: number): { figures: string; power: number } {
  const [figures = "0", power = "0"] = value.toExponential(digits).split("e");
  return { figures, power: Number(power) };
}

function withoutZeros(text: string): string {
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

function powerOf(power: number): string {
  return `${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
}
