import { readdirSync } from "node:fs";
import { defineConfig } from "vite";

// Makes each test/*.test.ts one plain JavaScript file: Node 20 runs no TypeScript.
const tests = readdirSync("test").filter((name) => name.endsWith(".test.ts"));

export default defineConfig({
  build: {
    ssr: true,
    outDir: "node_modules/.desk-test",
    emptyOutDir: true,
    copyPublicDir: false,
    rolldownOptions: {
      input: Object.fromEntries(tests.map((name) => [name.replace(/\.ts$/, ""), `test/${name}`])),
      output: { entryFileNames: "[name].mjs" },
    },
  },
});
