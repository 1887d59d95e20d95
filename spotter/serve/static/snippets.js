// Runs when the snippets appear in `element`: puts the app's address into them, and makes the buttons work.
/* global element */
const here = new URL(".", location.href).href.replace(/\/$/, "");
const placeholder = element.querySelector("[data-address]").dataset.address;
for (const code of element.querySelectorAll("code")) code.textContent = code.textContent.replaceAll(placeholder, here);
for (const button of element.querySelectorAll(".copy")) {
  const told = button.textContent;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.parentElement.querySelector("code").textContent);
    button.textContent = button.dataset.done;
    setTimeout(() => { button.textContent = told; }, 2000);
  });
}
