import "./style.css";
import { loadConfig, readConfig } from "./config.ts";
import { CallcardDesk } from "./view/desk.ts";

// Without its config the page would still find everything where it came from itself.
const config = await loadConfig(location).catch(() => readConfig(null, location.href));
const desk = new CallcardDesk();
desk.config = config;
document.body.append(desk);
