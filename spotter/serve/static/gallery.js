// Runs when the examples appear in `element`: tells the app which one was chosen.
/* global element, trigger */
element.addEventListener("click", (event) => {
  const button = event.target.closest(".gallery-item");
  if (button) trigger("select", { index: Number(button.dataset.index) });
});
