() => {
  // A file over the bound is told in a sentence before it is sent; the server refuses it as well.
  const told = (file) => {
    document.querySelector(".too-large")?.remove();
    if (!file) return;
    const sentence = document.createElement("p");
    sentence.className = "said mistake too-large";
    sentence.setAttribute("role", "alert");
    const size = (file.size / 2 ** 20).toFixed(1);
    sentence.textContent =
      `${file.name} has ${size} MB, and MEGABYTES MB are the most that are taken; choose a shorter or smaller one.`;
    document.body.append(sentence);
  };
  const refuse = (event, files) => {
    if (!files?.length) return;
    const large = [...files].find((file) => file.size > MEGABYTES * 2 ** 20);
    told(large);
    if (large) {
      event.preventDefault();
      event.stopImmediatePropagation();
      if ("value" in event.target) event.target.value = "";
    }
  };
  const chosen = (event) => refuse(event, event.target.files);
  document.addEventListener("input", chosen, true);
  document.addEventListener("change", chosen, true);
  document.addEventListener("drop", (event) => refuse(event, event.dataTransfer?.files), true);
}
