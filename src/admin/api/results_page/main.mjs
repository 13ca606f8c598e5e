import { start } from "./page.mjs";

start(document, (path, options) => window.fetch(path, options));
