import { defineConfig } from "vite";

// `npm run dev` serves the sources; everything with data comes from a Callcard that runs beside it.
const backend = process.env["CALLCARD_BACKEND"] ?? "http://127.0.0.1:8080";

export default defineConfig({
  build: {
    // Made beside node_modules and moved into place when it is whole: a failed build leaves the old page.
    outDir: "node_modules/.desk-build",
    emptyOutDir: true,
    // Two years of browsers: an office machine that updates itself at all is newer.
    target: ["chrome111", "firefox115", "safari16.4"],
    // No inline script in the page: the content security policy forbids it.
    modulePreload: { polyfill: false },
    // Small pictures stay files, so that the policy needs no data: addresses.
    assetsInlineLimit: 0,
  },
  server: {
    proxy: {
      "/api": backend,
      "/config.json": backend,
      "/connection": { target: backend, ws: true },
      "/emulation": backend,
    },
  },
});
