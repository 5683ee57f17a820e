// A sound and the dance above it run together; one sound at a time. Without this script the native players still work.
for (const clip of document.querySelectorAll(".clip")) {
  const video = clip.querySelector("video");
  for (const sound of clip.querySelectorAll(".sound")) {
    const audio = sound.querySelector("audio");
    let frame = 0;
    const follow = () => {
      sound.style.setProperty("--at", audio.currentTime / (audio.duration || 1));
      frame = requestAnimationFrame(follow);
    };
    const meet = () => { if (video) video.currentTime = Math.min(audio.currentTime, video.duration || audio.currentTime); };
    audio.addEventListener("play", () => {
      for (const other of document.querySelectorAll("audio")) if (other !== audio) other.pause();
      sound.classList.add("playing");
      meet();
      if (video) video.play().catch(() => {});
      follow();
    });
    audio.addEventListener("pause", () => {
      sound.classList.remove("playing");
      cancelAnimationFrame(frame);
      if (video) video.pause();
    });
    audio.addEventListener("seeked", meet);
  }
}
