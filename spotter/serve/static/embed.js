// Runs before anything is drawn, so that a frame never shows what it is to hide.
if (new URLSearchParams(location.search).get("embed")) document.documentElement.classList.add("embed");
