// The service worker of the page.
export {};
