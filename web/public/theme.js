// Runs before the first paint, so that a chosen theme does not flash. Without a choice, CSS follows the system.
(function () {
  var theme = null;
  try {
    theme = localStorage.getItem('stonevault.theme');
  } catch (e) {
    // Storage is switched off: follow the system.
  }
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
})();
