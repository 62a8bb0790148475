// Light or dark: the system's choice until the visitor makes one, which is then remembered.
// A classic script in <head>, so that the remembered theme is set before the first paint.
(() => {
  "use strict";
  const KEY = "voicebot.theme";
  const root = document.documentElement;
  const systemDark = matchMedia("(prefers-color-scheme: dark)");

  function remembered() {
    try {
      return localStorage.getItem(KEY);
    } catch (error) {
      console.info("The theme cannot be remembered here:", error.message);
      return null;
    }
  }

  function remember(theme) {
    try {
      localStorage.setItem(KEY, theme);
    } catch (error) {
      console.info("The theme cannot be remembered here:", error.message);
    }
  }

  function current() {
    return root.dataset.theme || (systemDark.matches ? "dark" : "light");
  }

  function other() {
    return current() === "dark" ? "light" : "dark";
  }

  const chosen = remembered();
  if (chosen === "dark" || chosen === "light") root.dataset.theme = chosen;

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const label = () => button.setAttribute("aria-label", `Switch to the ${other()} theme`);
    button.addEventListener("click", () => {
      root.dataset.theme = other();
      remember(root.dataset.theme);
      label();
    });
    systemDark.addEventListener("change", label);
    label();
  });
})();
