import { gateways } from './gateways.js'
import { local } from './local.js'
import { vendors } from './vendors.js'

export const servers = [...vendors, ...gateways, ...local]
